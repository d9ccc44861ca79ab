"""Records of exported bundles, and the facts that travel with content, in the catalog."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mirror.oci import Digest, Repository, Tag
from mirror.records.bundle_exports import ExportRecord, TagSource
from mirror.records.derivations import Derivation
from mirror.records.origins import Origin
from mirror.records.sync_runs import MirroredTag, RunStep, TagOutcome, TagRecord
from mirror.runtime.current_rule import working_for
from mirror.store.catalog import rows
from mirror.store.catalog.tables.bundle_tables import bundle_notes
from mirror.store.registry import Store
from tests.support.builders import REPOSITORY, push_image
from tests.support.clocks import HandClock

NOON = datetime(2026, 11, 29, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "data", clock=HandClock(NOON)) as opened:
        yield opened


def export(stream: str, serial: int, content: bytes = b"statement", hours: int = 0) -> ExportRecord:
    statement = Digest.of(content + str(serial).encode())
    return ExportRecord(stream, serial, NOON + timedelta(hours=hours), statement, b"head of " + content)


async def test_the_last_export_is_that_of_the_stream_or_of_all(store: Store) -> None:
    exports = store.records.bundle_exports
    assert await exports.last_export() is None
    older, newer, other = export("a", 1), export("a", 2, hours=1), export("b", 9, hours=-3)
    for record in (older, newer, other):
        assert await exports.record_export(record)

    assert await exports.last_export() == newer
    assert await exports.last_export("b") == other
    assert await exports.last_export("c") is None
    assert await exports.exports_between("a", 1, 1) == [older]
    assert await exports.exports_between("a", 2, 5) == [newer]
    assert await exports.exports_between("a", 1, 5) == [older, newer]
    assert await exports.export_with(other.statement) == other
    assert await exports.export_with(Digest.of(b"unknown")) is None


async def test_a_serial_stands_for_one_bundle(store: Store) -> None:
    exports = store.records.bundle_exports
    assert await exports.record_export(export("a", 2))

    assert await exports.record_export(export("a", 2))  # an export that was killed after its record
    assert not await exports.record_export(export("a", 2, b"other"))
    assert not await exports.record_export(export("a", 1))
    assert await exports.record_export(export("b", 1))
    assert await exports.last_export("a") == export("a", 2)


async def test_the_source_of_a_tag_is_the_rule_the_upstream_or_nobody(store: Store) -> None:
    there = Repository("store/contiv")
    with working_for("contiv"):
        image = await push_image(store, "image", "mirrored", "moved")
    await push_image(store, "other", "moved")  # by a client
    await push_image(store, "image", "pushed")
    brought = [
        MirroredTag(REPOSITORY, Tag(tag), "contiv", "hub", there, image.digest, image.digest, NOON)
        for tag in ("mirrored", "moved")
    ]
    run = await store.records.sync_runs.begin_run("contiv")
    steps = [RunStep(TagRecord(row.repository, row.tag, TagOutcome.COPIED), row) for row in brought]
    await store.records.sync_runs.record(run, steps)
    origin = Origin("ghcr", there, image.digest, NOON, NOON)
    await store.records.incomplete.keep_incomplete(REPOSITORY, image, origin, Tag("pulled"))

    found = await store.records.bundle_exports.tag_sources()

    assert found == {
        (REPOSITORY, Tag("mirrored")): TagSource("contiv", "hub/store/contiv", NOON),
        (REPOSITORY, Tag("moved")): TagSource(),
        (REPOSITORY, Tag("pulled")): TagSource("", "ghcr/store/contiv", NOON),
        (REPOSITORY, Tag("pushed")): TagSource(),
    }


async def test_first_seen_is_the_earliest_of_here_and_of_the_sender(store: Store) -> None:
    image = await push_image(store, "image", "1.0")
    exports = store.records.bundle_exports

    assert await exports.first_seen([image.digest, Digest.of(b"unknown")]) == {image.digest: NOON}

    earlier = NOON - timedelta(days=30)
    note = {"digest": str(image.digest), "stream": "site", "first_seen_at": earlier}
    await store.services.catalog.write_uncached(lambda connection: rows.put(connection, bundle_notes, note))
    assert await exports.first_seen([image.digest]) == {image.digest: earlier}
    assert await exports.first_seen([]) == {}


async def test_derivations_are_read_by_digest(store: Store) -> None:
    image, plain = await push_image(store, "image", "1.0"), await push_image(store, "plain", "2.0")
    derivation = Derivation("hub/x", plain.digest, "user root", NOON, {"env": {"A": "b"}}, ("A is b",))
    await store.records.derivations.record_derivation(image.digest, derivation)

    found = await store.records.bundle_exports.derivations_of([image.digest, plain.digest])

    assert found == {image.digest: derivation}
