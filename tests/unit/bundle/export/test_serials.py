"""Serials of exports that run at the same time, or were killed at their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.bundle.export.export_request import ExportRequest
from mirror.bundle.export.exporting import export_bundle
from mirror.bundle.export.output.single_file_output import SingleFileOutput
from mirror.bundle.format.bundle_head import read_head
from mirror.bundle.format.byte_source import FileSource
from mirror.bundle.verification import verify_bytes
from mirror.oci.errors import Busy, StorageFault
from mirror.store.registry import Store
from mirror.transfer.progress_reporting import SilentProgress
from tests.support.builders import hold
from tests.support.bundles import CREATED, small_plugin
from tests.support.export_requests import HERE, export_request, source_of


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "data") as opened:
        manifest, blobs = small_plugin(bytes(1024 * 1024))
        await hold(opened, HERE, blobs, [manifest], "1.0")
        yield opened


def request(store: Store, output: Path, next_serial: int = 1, seconds: int = 0) -> ExportRequest:
    return export_request(
        output,
        source_of(store),
        stream="site",
        next_serial=next_serial,
        created=CREATED + timedelta(seconds=seconds),
        exports=store.records.bundle_exports,
    )


async def test_exports_at_the_same_time_get_serials_of_their_own(tmp_path: Path, store: Store) -> None:
    first = await export_bundle(request(store, tmp_path / "first.tar"), SilentProgress())
    outputs = [tmp_path / f"{number}.tar" for number in range(4)]
    requests = [
        replace(request(store, output, 2, seconds=number), previous=first.statement)
        for number, output in enumerate(outputs)
    ]

    done = await asyncio.gather(*(export_bundle(each, SilentProgress()) for each in requests))

    by_serial = {one.serial: one for one in (first, *done)}
    assert sorted(by_serial) == [1, 2, 3, 4, 5]
    for output in outputs:
        source = await FileSource.open(output)
        head = await read_head(source)
        await verify_bytes(head, source, SilentProgress())
        serial = head.statement.serial
        assert head.envelope.digest == by_serial[serial].statement
        assert head.statement.previous == by_serial[serial - 1].statement


async def test_a_serial_that_moves_the_content_is_told(tmp_path: Path, store: Store) -> None:
    await export_bundle(replace(request(store, tmp_path / "first.tar"), serial=9), SilentProgress())

    with pytest.raises(Busy, match="run it again"):  # serial 10 has one digit more
        await export_bundle(request(store, tmp_path / "f.tar", 9, seconds=1), SilentProgress())
    done = await export_bundle(request(store, tmp_path / "f.tar", 10), SilentProgress())

    assert done.serial == 10


async def test_a_serial_that_was_asked_for_is_not_replaced(tmp_path: Path, store: Store) -> None:
    await export_bundle(request(store, tmp_path / "first.tar"), SilentProgress())

    with pytest.raises(Busy, match="serial 1"):
        await export_bundle(replace(request(store, tmp_path / "f.tar", seconds=1), serial=1), SilentProgress())


async def test_an_export_that_ended_between_record_and_name_is_the_same_bundle(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: object) -> None:
        raise StorageFault("killed")

    with monkeypatch.context() as patch:
        patch.setattr(SingleFileOutput, "finish", killed)
        with pytest.raises(StorageFault, match="killed"):
            await export_bundle(request(store, tmp_path / "f.tar"), SilentProgress())
    recorded = await store.records.bundle_exports.last_export("site")
    assert recorded is not None

    done = await export_bundle(request(store, tmp_path / "f.tar", 2), SilentProgress())

    assert (done.serial, done.statement) == (1, recorded.statement)
    assert done.continued_bytes == done.content_bytes
