"""What `strace -f -y` wrote, as calls in their order; and the order in which content must become durable. Pure.

strace writes a call that another thread interrupted in two lines, `… <unfinished ...>` and `<... NAME resumed>…`. So a
call has two places in the order: where it began, and where it had ended. One call is before another where it had ended
before the other began.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

TRACED = (
    "openat,write,writev,pwrite64,pwritev,pwritev2,ftruncate,fsync,fdatasync,rename,renameat,renameat2,sendto,sendmsg"
)
"""For `strace -e trace=`."""

_WHOLE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+|\?)(?:<.*>)?(?: .*)?")
_BEGUN = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+|\?)(?:<.*>)?(?: .*)?")
_NOTE = re.compile(r"\d+ +(?:---|\+\+\+) .*")
_DESCRIPTOR = re.compile(r"\d+<(.*?)>(?:,|$)")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')

_HEAD = re.compile(r"HTTP/1\.1 (\d{3}) ")

_WRITING = frozenset({"write", "writev", "pwrite64", "pwritev", "pwritev2", "ftruncate"})
_SYNCING = frozenset({"fsync", "fdatasync"})
_RENAMING = frozenset({"rename", "renameat", "renameat2"})
_SENDING = frozenset({"write", "writev", "sendto", "sendmsg"})


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Attributes:
        arguments: as strace writes them.
        result: what it returned, negative for an error; None where the process ended in it.
        begun, ended: its places in the order.
    """

    process: int
    name: str
    arguments: str
    result: int | None
    begun: int
    ended: int

    @property
    def path(self) -> str | None:
        """The file of its first argument, a descriptor."""
        match = _DESCRIPTOR.match(self.arguments)
        return match[1] if match else None

    @property
    def texts(self) -> list[str]:
        """Its arguments that are text: names of files, or what is sent (the beginning), as strace escapes them."""
        return _TEXT.findall(self.arguments)


class OrderBroken(AssertionError):
    """Something was acknowledged before it was durable."""


def parse(text: str) -> list[Call]:
    """The calls in a trace, in the order in which they began.

    Raises `ValueError` for a line that strace does not write.
    """
    calls: list[Call] = []
    waiting: dict[tuple[int, str], int] = {}
    for place, line in enumerate(text.splitlines()):
        if match := _RESUMED.fullmatch(line):
            process, name = int(match[1]), match[2]
            index = waiting.pop((process, name))
            begun = calls[index]
            calls[index] = replace(
                begun, arguments=begun.arguments + match[3].strip(), result=_result(match[4]), ended=place
            )
        elif match := _BEGUN.fullmatch(line):
            process, name = int(match[1]), match[2]
            waiting[process, name] = len(calls)
            calls.append(Call(process, name, match[3], None, place, -1))
        elif match := _WHOLE.fullmatch(line):
            calls.append(Call(int(match[1]), match[2], match[3], _result(match[4]), place, place))
        elif not _NOTE.fullmatch(line):
            raise ValueError(f"line {place + 1} is not one of strace's: {line!r}")
    end = text.count("\n") + 1
    return [replace(call, ended=end) if call.ended < 0 else call for call in calls]


def answers(calls: Iterable[Call]) -> list[tuple[int, Call]]:
    """The calls that send the head of an HTTP answer, with its status."""
    sending = [call for call in calls if call.name in _SENDING]
    heads = [(match, call) for call in sending for text in call.texts if (match := _HEAD.match(text))]
    return [(int(match[1]), call) for match, call in heads]


def require_content_order(calls: Sequence[Call], blob: str, log: str, answer: Call) -> None:
    """The bytes were written, synced, named; then their folder; then the catalog's log, and only then the answer.

    Args:
        blob: path of the content.
        log: path of the catalog's write-ahead log.
        answer: the call that acknowledges it.

    Raises `OrderBroken`, saying which step is not where it must be.
    """
    named = _last([call for call in calls if call.name in _RENAMING and call.texts[-1] == blob], answer, "the name")
    source = named.texts[0]
    written = _last([call for call in calls if call.name in _WRITING and call.path == source], named, "the bytes")
    late = [
        call for call in calls if call.name in _WRITING and call.path in {source, blob} and call.ended > named.begun
    ]
    if late:
        raise OrderBroken(f"bytes were written after they had their name: {late[0]}")
    _between(calls, source, written, named, "the bytes were not synced before they had their name")
    folder = _between(calls, blob.rpartition("/")[0], named, answer, "the name was not synced before the answer")
    require_log_order(calls, log, folder, answer)


def require_log_order(calls: Sequence[Call], log: str, after: Call, answer: Call) -> None:
    """After a call, the catalog's log was written and then synced, before the answer. Raises `OrderBroken`."""
    rows = [call for call in calls if call.name in _WRITING and call.path == log and call.begun > after.ended]
    _between(calls, log, _last(rows, answer, "the rows"), answer, "the rows were not synced before the answer")


def require_name_order(calls: Sequence[Call], file: str, answer: Call) -> None:
    """Where a file was made, its folder was synced before the answer. Raises `OrderBroken`."""
    made = [call for call in calls if call.name == "openat" and file in call.texts and "O_CREAT" in call.arguments]
    first = _last([call for call in made if call.result is not None and call.result >= 0][:1], answer, "the file")
    _between(calls, file.rpartition("/")[0], first, answer, "the name was not synced before the answer")


def _last(calls: Sequence[Call], before: Call, what: str) -> Call:
    """The last of `calls` that had begun before another."""
    found = [call for call in calls if call.begun < before.begun]
    if not found:
        raise OrderBroken(f"{what} did not come before {before}")
    return found[-1]


def _between(calls: Sequence[Call], path: str, first: Call, last: Call, otherwise: str) -> Call:
    """The sync of a file that began after one call had ended, and had ended before another began."""
    for call in calls:
        synced = call.name in _SYNCING and call.path == path and call.result == 0
        if synced and call.begun > first.ended and call.ended < last.begun:
            return call
    raise OrderBroken(f"{otherwise}: {path}, between {first} and {last}")


def _result(text: str) -> int | None:
    return None if text == "?" else int(text)
