"""Findings about plugins, in the catalog."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from mirror.plugin.findings import manifest_findings as table
from mirror.store.registry import Store
from tests.support.builders import ABSENT, push_image

FINDINGS = (table.DIFF_IDS_COMPRESSED(), table.LAYER_TYPE(number=1, media_type="application/x"))


def changes(folder: Path) -> int:
    """Return the number of transactions."""
    return int.from_bytes((folder / "generation").read_bytes()[:8], "little")


async def test_findings_are_kept_with_the_manifest(folder: Path) -> None:
    async with Store.open(folder) as store:
        digest = (await push_image(store, "a", "1")).digest
        assert await store.records.findings.recorded_findings(digest) is None
        await store.records.findings.record_findings(digest, ())
        assert await store.records.findings.recorded_findings(digest) == ()
        await store.records.findings.record_findings(digest, FINDINGS)
    async with Store.open(folder) as store:
        assert await store.records.findings.recorded_findings(digest) == FINDINGS


async def test_what_is_known_already_is_not_written_again(store: Store, folder: Path) -> None:
    digest = (await push_image(store, "a", "1")).digest
    await store.records.findings.record_findings(digest, FINDINGS)
    before = changes(folder)
    await store.records.findings.record_findings(digest, FINDINGS)
    assert changes(folder) == before


async def test_of_what_is_not_held_nothing_is_kept(store: Store) -> None:
    await store.records.findings.record_findings(ABSENT, FINDINGS)
    assert await store.records.findings.recorded_findings(ABSENT) is None


async def test_findings_go_when_the_bytes_do(store: Store, folder: Path) -> None:
    digest = (await push_image(store, "a")).digest
    await store.records.findings.record_findings(digest, FINDINGS)
    with sqlite3.connect(folder / "catalog.sqlite") as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("DELETE FROM manifests")
        connection.execute("DELETE FROM blobs WHERE digest = ?", (str(digest),))
    connection.close()
    assert await store.records.findings.recorded_findings(digest) is None


async def test_findings_that_another_version_wrote_are_no_findings(store: Store, folder: Path) -> None:
    digest = (await push_image(store, "a")).digest
    await store.records.findings.record_findings(digest, FINDINGS)
    for found in ("null", "7", '{"code": "x"}', '[{"code": "x"}]', "[[]]"):
        with sqlite3.connect(folder / "catalog.sqlite") as connection:
            connection.execute("UPDATE findings SET found = ?", (found,))
        connection.close()
        assert await store.records.findings.recorded_findings(digest) is None
