"""Parse the output of `strace -f -y` into calls, and check the order in which content becomes durable. Pure.

strace writes a call that another thread interrupted in two lines, `… <unfinished ...>` and `<... NAME resumed>…`. So a
call has two places in the order, its begin and its end. A call comes before another one if it ended before the other
began.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

TRACED = (
    "openat,write,writev,pwrite64,pwritev,pwritev2,ftruncate,fsync,fdatasync,rename,renameat,renameat2,sendto,sendmsg"
)
"""System calls for `strace -e trace=`."""

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
    """A system call.

    Attributes:
        process: Id of the process or thread.
        name: Name of the system call.
        arguments: Arguments as strace writes them.
        result: Return value, negative for an error, or None if the process ended during the call.
        begun: Place of the begin in the order.
        ended: Place of the end in the order.
    """

    process: int
    name: str
    arguments: str
    result: int | None
    begun: int
    ended: int

    @property
    def path(self) -> str | None:
        """Path of the file descriptor in the first argument, or None."""
        match = _DESCRIPTOR.match(self.arguments)
        return match[1] if match else None

    @property
    def texts(self) -> list[str]:
        """Text arguments, as strace escapes them: file names, or the beginning of the data."""
        return _TEXT.findall(self.arguments)


class OrderBroken(AssertionError):
    """A change was acknowledged before it was durable."""


def parse(text: str) -> list[Call]:
    """Return the calls in a trace, in the order in which they began.

    Raises:
        ValueError: If a line is not in strace's format.
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
            raise ValueError(f"line {place + 1} is not in strace's format: {line!r}")
    end = text.count("\n") + 1
    return [replace(call, ended=end) if call.ended < 0 else call for call in calls]


def answers(calls: Iterable[Call]) -> list[tuple[int, Call]]:
    """Return the calls that send the head of an HTTP response, with its status."""
    sending = [call for call in calls if call.name in _SENDING]
    heads = [(match, call) for call in sending for text in call.texts if (match := _HEAD.match(text))]
    return [(int(match[1]), call) for match, call in heads]


def require_content_order(calls: Sequence[Call], blob: str, log: str, answer: Call) -> None:
    """Check the order of a blob write.

    The bytes are written, synced and renamed to `blob`. Then the folder is synced. Then the catalog's log is written
    and synced. Only then is the response sent.

    Args:
        calls: Calls of the trace.
        blob: Path of the content.
        log: Path of the catalog's write-ahead log.
        answer: Call that sends the acknowledgement.

    Raises:
        OrderBroken: If a step is missing or in the wrong place. The message names the step.
    """
    named = _last([call for call in calls if call.name in _RENAMING and call.texts[-1] == blob], answer, "the name")
    source = named.texts[0]
    written = _last([call for call in calls if call.name in _WRITING and call.path == source], named, "the bytes")
    # A write after the rename would change content that already has its final name.
    late = [
        call for call in calls if call.name in _WRITING and call.path in {source, blob} and call.ended > named.begun
    ]
    if late:
        raise OrderBroken(f"bytes were written after the rename: {late[0]}")
    _between(calls, source, written, named, "the bytes were not synced before the rename")
    folder = _between(calls, blob.rpartition("/")[0], named, answer, "the folder was not synced before the response")
    require_log_order(calls, log, folder, answer)


def require_log_order(calls: Sequence[Call], log: str, after: Call, answer: Call) -> None:
    """Check that the catalog's log is written after the call `after`, then synced, and that `answer` comes last.

    Raises:
        OrderBroken: If a step is missing or in the wrong place.
    """
    rows = [call for call in calls if call.name in _WRITING and call.path == log and call.begun > after.ended]
    _between(calls, log, _last(rows, answer, "the rows"), answer, "the rows were not synced before the response")


def require_name_order(calls: Sequence[Call], file: str, answer: Call) -> None:
    """Check that the folder of a created file is synced before the response is sent.

    Raises:
        OrderBroken: If a step is missing or in the wrong place.
    """
    made = [call for call in calls if call.name == "openat" and file in call.texts and "O_CREAT" in call.arguments]
    first = _last([call for call in made if call.result is not None and call.result >= 0][:1], answer, "the file")
    _between(calls, file.rpartition("/")[0], first, answer, "the folder was not synced before the response")


def _last(calls: Sequence[Call], before: Call, what: str) -> Call:
    """Return the last of `calls` that began before the call `before`."""
    found = [call for call in calls if call.begun < before.begun]
    if not found:
        raise OrderBroken(f"{what} did not come before {before}")
    return found[-1]


def _between(calls: Sequence[Call], path: str, first: Call, last: Call, otherwise: str) -> Call:
    """Return the sync of a file that began after `first` ended and ended before `last` began."""
    for call in calls:
        synced = call.name in _SYNCING and call.path == path and call.result == 0
        if synced and call.begun > first.ended and call.ended < last.begun:
            return call
    raise OrderBroken(f"{otherwise}: {path}, between {first} and {last}")


def _result(text: str) -> int | None:
    return None if text == "?" else int(text)
