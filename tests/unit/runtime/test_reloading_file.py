"""Values that are read again when their files change."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mirror.oci.errors import ConfigurationFault
from mirror.runtime.reloading_file import ReloadingFile
from tests.support.clocks import HandClock


class Numbers:
    """A file with a number, which counts how often it was read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reads = 0
        self.clock = HandClock()
        self.write("1")
        self.file = ReloadingFile("number", [path], self._read, self.clock)

    def write(self, text: str) -> None:
        written = self.path.with_suffix(".new")
        written.write_text(text)
        written.replace(self.path)

    def _read(self) -> int:
        self.reads += 1
        try:
            return int(self.path.read_text())
        except ValueError as error:
            raise ConfigurationFault("not a number") from error


async def test_a_change_is_seen_after_two_seconds_or_by_a_look(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "number")
    numbers.write("2")
    assert await numbers.file.current() == 1
    assert await numbers.file.newest() == 2
    numbers.write("3")
    numbers.clock.advance(seconds=2)
    assert await numbers.file.current() == 3
    assert numbers.reads == 3


async def test_a_file_without_a_change_is_not_read_again(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "number")
    assert [await numbers.file.newest() for _ in range(3)] == [1, 1, 1]
    assert numbers.reads == 1


async def test_the_last_value_stays_while_the_file_is_not_readable(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "number")
    numbers.write("half a num")
    assert await numbers.file.newest() == 1
    assert await numbers.file.newest() == 1
    assert numbers.reads == 2
    numbers.write("2")
    assert await numbers.file.newest() == 2


async def test_looks_at_the_same_time_read_a_change_once(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "number")
    numbers.write("2")
    assert await asyncio.gather(*(numbers.file.newest() for _ in range(8))) == [2] * 8
    assert numbers.reads == 2
