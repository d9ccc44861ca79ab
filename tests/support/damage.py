"""Damage to a data folder, and a scrub of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from mirror.lifecycle.scrub import Scrubber
from mirror.oci import Digest
from mirror.records.lifecycle.damage import ExaminationResult, ScrubState
from mirror.store.content.data_layout import DataLayout
from mirror.store.registry import Store
from tests.support.clocks import HandClock


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def lengthen(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(b"x")


def delete(file: Path) -> None:
    file.unlink()


#: Each way of damaging a file.
WAYS: tuple[Callable[[Path], None], ...] = (flip_a_bit, cut, lengthen, delete)


def file_of(folder: Path, digest: Digest) -> Path:
    return DataLayout(folder).blob(digest)


async def at_once(_size_bytes: int) -> None:
    """Read on without a pause."""


async def examine(store: Store, digest: Digest) -> ExaminationResult:
    """Examine the bytes of content that the store has."""
    content = await store.records.damage.find_stored(digest)
    assert content is not None
    return await store.records.damage.examine(content, at_once)


async def scrub(store: Store, clock: HandClock | None = None) -> ScrubState:
    """Read everything in a store, or the rest of an interrupted round of the last day."""
    scrubber = Scrubber(store.records.damage, store.records.scrubs, clock or HandClock(), "test")
    return await scrubber.run(await scrubber.begin(timedelta(days=1)))
