"""Values that are read again when their files change."""

from __future__ import annotations

import asyncio
from pathlib import Path

from structlog.testing import capture_logs

from mirror.oci.errors import ConfigurationFault
from mirror.runtime.files.reloading_file import ReloadingFile
from tests.support.clocks import HandClock


class Numbers:
    """A file with a number, which counts how often it was read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reads = 0
        self.works = True
        self.clock = HandClock()
        self.write("1")
        self.file = ReloadingFile("number", [path], self._read, self.clock)

    def write(self, text: str) -> None:
        written = self.path.with_suffix(".new")
        written.write_text(text)
        written.replace(self.path)

    def _read(self) -> int:
        self.reads += 1
        if not self.works:
            raise ZeroDivisionError("of the reader")
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


async def test_a_failure_that_passes_by_itself_is_tried_again_after_a_minute_and_told_once(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "number")
    numbers.works = False
    numbers.write("2")
    with capture_logs() as lines:
        assert await numbers.file.newest() == 1
        numbers.clock.advance(seconds=59)
        assert await numbers.file.newest() == 1
        assert numbers.reads == 2
        numbers.clock.advance(seconds=1)
        assert await numbers.file.newest() == 1
        assert numbers.reads == 3
        numbers.works = True
        numbers.clock.advance(seconds=60)
        assert await numbers.file.newest() == 2
        numbers.clock.advance(seconds=60)
        assert await numbers.file.newest() == 2
    assert numbers.reads == 4
    assert [(line["event"], line.get("error")) for line in lines] == [
        ("file not reloaded, last value stays in use", "of the reader"),
        ("file reloaded", None),
    ]


async def test_a_change_of_the_mode_alone_is_a_change(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "number")
    numbers.path.chmod(0o600)
    assert await numbers.file.newest() == 1
    assert numbers.reads == 2


async def test_looks_at_the_same_time_read_a_change_once(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "number")
    numbers.write("2")
    assert await asyncio.gather(*(numbers.file.newest() for _ in range(8))) == [2] * 8
    assert numbers.reads == 2
