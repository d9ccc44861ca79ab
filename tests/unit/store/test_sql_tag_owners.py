from __future__ import annotations

import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from mirror.oci import Repository, Tag
from mirror.records.origins import Origin
from mirror.records.sync_runs import MirroredTag, RunStep, TagOutcome, TagRecord
from mirror.runtime.current_rule import working_for
from mirror.store.registry import Store
from tests.support.builders import hold, plugin

NAME, THERE, TAG = Repository("a/plugin"), Repository("store/a/plugin"), Tag("latest")
CONFIG, LAYER = b"{}", b"layer" * 100
PLUGIN = plugin(CONFIG, LAYER)
NOW = datetime(2026, 5, 6, tzinfo=UTC)
ROW = MirroredTag(NAME, TAG, "rule", "hub", THERE, PLUGIN.digest, PLUGIN.digest, NOW)
ORIGIN = Origin("hub", THERE, PLUGIN.digest, NOW, NOW)


async def brought(store: Store, *, pulled: bool = False) -> None:
    """Record the tag as brought by a rule."""
    run = await store.records.sync_runs.begin_run("rule")
    step = RunStep(TagRecord(NAME, TAG, TagOutcome.COPIED), ROW, pulled=pulled)
    await store.records.sync_runs.record(run, [step])


async def test_who_put_a_tag_is_known(store: Store) -> None:
    await hold(store, NAME, [CONFIG, LAYER], [PLUGIN], "pushed")
    with working_for("rule"):
        await store.put_manifest(NAME, PLUGIN, [Tag("mirrored")])
    await store.records.incomplete.keep_incomplete(NAME, PLUGIN, ORIGIN, Tag("pulled"))
    others = await store.records.tag_owners.other_tags(NAME)
    assert (set(others.pushed), others.pulled) == ({Tag("pushed")}, {Tag("pulled"): ORIGIN})
    assert await store.records.tag_owners.other_tags(THERE) == type(others)(frozenset(), {})


async def test_a_push_makes_a_tag_the_clients_until_it_is_deleted(store: Store) -> None:
    with working_for("rule"):
        await hold(store, NAME, [CONFIG, LAYER], [PLUGIN], TAG.name)
    await brought(store)
    await store.put_manifest(NAME, PLUGIN, [TAG])
    assert TAG in (await store.records.tag_owners.other_tags(NAME)).pushed
    assert await store.records.origins.is_ours(NAME)
    await store.delete_tag(NAME, TAG)
    with working_for("rule"):
        await store.put_manifest(NAME, PLUGIN, [TAG])
    assert not (await store.records.tag_owners.other_tags(NAME)).pushed


async def test_a_tag_of_a_rule_becomes_one_that_was_pulled_through(store: Store, folder: Path) -> None:
    with working_for("rule"):
        await hold(store, NAME, [CONFIG, LAYER], [PLUGIN], TAG.name)
    await brought(store)
    assert await store.records.origins.origin(NAME, TAG) is None
    assert await store.records.tag_owners.brought_here() == [ROW]
    async with Store.open(folder) as other:
        await other.records.tag_owners.release([ROW], NOW)
        assert await other.records.tag_owners.brought_here() == []
    assert await store.records.origins.origin(NAME, TAG) == ORIGIN
    await brought(store, pulled=True)
    assert await store.records.origins.origin(NAME, TAG) is None


async def test_a_tag_that_a_client_pushes_meanwhile_is_not_released(store: Store) -> None:
    with working_for("rule"):
        await hold(store, NAME, [CONFIG, LAYER], [PLUGIN], TAG.name)
    await brought(store)
    await store.put_manifest(NAME, PLUGIN, [TAG])
    await store.records.tag_owners.release([ROW], NOW)
    assert await store.records.origins.origin(NAME, TAG) is None
    assert await store.records.tag_owners.brought_here() == []


@pytest.mark.parametrize(
    ("revision", "tags", "pulled"),
    [
        ("0007", {"acme/driver:denied", "acme/image:latest"}, {"pulled/driver:"}),
        ("0009", {"acme/driver:1.0"}, set[str]()),
    ],
)
async def test_tags_of_an_earlier_folder_count_as_pushed_and_are_listed_once(
    revision: str, tags: set[str], pulled: set[str], folder: Path
) -> None:
    with tarfile.open(Path(__file__).parent / "folders" / f"revision-{revision}.tar.gz") as archive:
        archive.extractall(folder, filter="fully_trusted")
    listed = []
    for _ in range(2):
        with structlog.testing.capture_logs() as lines:
            async with Store.open(folder) as store:
                assert (
                    Tag("denied" if revision == "0007" else "1.0")
                    in (await store.records.tag_owners.other_tags(Repository("acme/driver"))).pushed
                )
        listed += [one for one in lines if one["event"] == "tags of unknown origin count as pushed"]
    (line,) = listed
    assert tags <= set(line["tags"].split(", "))
    assert line["count"] == len(line["tags"].split(", "))
    assert not any(name in line["tags"] for name in pulled)
