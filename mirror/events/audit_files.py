"""Files of the audit: the current one, and former ones. All calls block.

``audit.jsonl`` grows, and at a size it becomes ``audit-0000000001.jsonl``, named by the number of its first line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

from mirror.events.audit_chain import ChainEnd, entry_of
from mirror.runtime.files import private_files

_CURRENT: Final = "audit.jsonl"
_FORMER: Final = re.compile(r"audit-[0-9]{10}\.jsonl")
#: Longest end of a file that is read to find its last lines. A batch of changes is shorter.
_MOST_TAIL_BYTES: Final = 16 * 1024 * 1024


class AuditFiles:
    """The files of an audit. One process at a time may append.

    Args:
        folder: folder of the files, which is created.
        most_bytes: size at which a new file begins.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._file = folder / _CURRENT

    def paths(self) -> Sequence[Path]:
        """Return the files, the oldest first."""
        with suppress(FileNotFoundError):
            former = sorted(path for path in self._folder.iterdir() if _FORMER.fullmatch(path.name))
            return [*former, *([self._file] if self._file.exists() else [])]
        return []

    def append(self, lines: bytes) -> None:
        """Append whole lines durably, or nothing.

        Raises:
            OSError: the disk failed or is full, and nothing was appended.
        """
        if not self._folder.exists():
            private_files.make_folder(self._folder)
        is_new = not self._file.exists()
        descriptor = private_files.open_file(self._file, os.O_WRONLY | os.O_CREAT)
        try:
            before = os.lseek(descriptor, 0, os.SEEK_END)
            try:
                left = memoryview(lines)
                while left:
                    left = left[os.write(descriptor, left) :]
                os.fsync(descriptor)
            except BaseException:
                os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)
        if is_new:
            _sync_folder(self._folder)

    def last_lines(self) -> Sequence[bytes]:
        """Return the last lines of the audit, without line feeds.

        The end of an unfinished line, which a crash has left, is removed.
        """
        paths = self.paths()
        if not paths:
            return []
        if paths[-1] == self._file:
            _cut_unfinished_line(self._file)
            if self._file.stat().st_size == 0 and len(paths) > 1:
                paths = paths[:-1]
        return _tail(paths[-1])

    def read(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Yield the name and the lines of each file, the oldest first, also while another process appends.

        The lines have no line feed. A line that is being written is left out.
        """
        with ExitStack() as stack:
            # Opened before the others are listed: it may become one of them meanwhile, and no line is missed.
            current = _opened(self._file, stack)
            is_former = False
            for path in self.paths():
                with ExitStack() as opening:
                    if path == self._file or (file := _opened(path, opening)) is None:
                        continue
                    is_former = is_former or (current is not None and _is_same(file, current))
                    yield path.name, (line.rstrip(b"\n") for line in file)
            if current is not None and not is_former:
                yield self._file.name, (line[:-1] for line in current if line.endswith(b"\n"))

    def begin_file_if_full(self) -> None:
        """Begin a new file if the current one has its size."""
        try:
            if self._file.stat().st_size < self._most_bytes:
                return
        except FileNotFoundError:
            return
        self._file.rename(self._folder / f"audit-{_first_seq(self._file):010}.jsonl")
        _sync_folder(self._folder)

    def expired(self, moment: datetime) -> tuple[Sequence[Path], int]:
        """Return the files whose lines all come before a time, and the number of the first line of the others.

        The latest file is never among them.
        """
        paths = self.paths()
        for place, path in enumerate(paths):
            if place == len(paths) - 1 or path.stat().st_mtime >= moment.timestamp():
                return paths[:place], _first_seq(path)
        return [], 0

    def first_seq(self) -> int:
        """Return the number of the first line; 1 if there is none."""
        return next(filter(None, map(_first_seq, self.paths())), 1)


def end_of(lines: Sequence[bytes], known: ChainEnd) -> ChainEnd | None:
    """Return the end of a chain whose last lines are given, if ``known`` is one of its ends; else None."""
    for place in range(len(lines), -1, -1):
        if place:
            is_known = known.seq > 0 and ChainEnd(known.seq - 1).after(lines[place - 1]) == known
        else:  # the line of a known end may be the last one of the file before
            is_known = _begins_after(known, lines)
        if is_known:
            end = known
            for line in lines[place:]:
                end = end.after(line)
            return end
    return None


def seq_of(line: bytes) -> int:
    """Return the number of a line; 0 if it is none of an audit."""
    return int(entry_of(line).get("seq", 0))


def change_of(line: bytes) -> int:
    """Return the number of the change of a line; 0 if it has none."""
    number = entry_of(line).get("change")
    return number if type(number) is int else 0


def _begins_after(known: ChainEnd, lines: Sequence[bytes]) -> bool:
    if not lines:
        return known.seq == 0
    first = entry_of(lines[0])
    return first.get("seq") == known.seq + 1 and first.get("prev") == known.hash


def _first_seq(path: Path) -> int:
    with path.open("rb") as file:
        return seq_of(file.readline())


def _opened(path: Path, stack: ExitStack) -> BinaryIO | None:
    try:
        return stack.enter_context(path.open("rb"))
    except FileNotFoundError:
        return None  # it was removed by its age


def _is_same(one: BinaryIO, other: BinaryIO) -> bool:
    return os.path.sameopenfile(one.fileno(), other.fileno())


def _tail(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        size_bytes = file.seek(0, os.SEEK_END)
        begin = max(size_bytes - _MOST_TAIL_BYTES, 0)
        file.seek(begin)
        lines = file.read().split(b"\n")
    whole = lines[:-1]  # nothing follows the last line feed
    return whole[1:] if begin else whole


def _cut_unfinished_line(path: Path) -> None:
    with path.open("r+b") as file:
        size_bytes = file.seek(0, os.SEEK_END)
        begin = max(size_bytes - _MOST_TAIL_BYTES, 0)
        file.seek(begin)
        whole = begin + file.read().rfind(b"\n") + 1
        if whole != size_bytes:
            file.truncate(whole)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
