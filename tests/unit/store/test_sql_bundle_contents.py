"""The content of a store, as receipts list it."""

from __future__ import annotations

from datetime import UTC, datetime

from mirror.oci import Digest, Repository, Tag
from mirror.records.origins import Origin
from mirror.records.sync_runs import MirroredTag, RunStep, TagOutcome, TagRecord
from mirror.runtime.current_rule import working_for
from mirror.store.registry import Store
from tests.support.builders import ABSENT, hold, plugin, push_blob

NAME, OTHER, TAG = Repository("site/network"), Repository("acme/driver"), Tag("1.0")
IN_THE_BUNDLE = Repository("contiv/v2plugin")
CONFIG, LAYER = b"{}", b"layer" * 100
PLUGIN, LATER = plugin(CONFIG, LAYER), plugin(CONFIG, LAYER, CONFIG)
NOW = datetime(2026, 5, 6, tzinfo=UTC)
OF_PLUGIN = {PLUGIN.digest, Digest.of(CONFIG), Digest.of(LAYER)}


async def bring(store: Store) -> None:
    """Import the plugin under another name than in its bundle."""
    with working_for("bundle:hub"):
        await hold(store, NAME, [CONFIG, LAYER], [PLUGIN], TAG.name)
    row = MirroredTag(NAME, TAG, "bundle:hub", "hub", IN_THE_BUNDLE, PLUGIN.digest, PLUGIN.digest, NOW)
    run = await store.records.sync_runs.begin_run("bundle:hub")
    await store.records.sync_runs.record(run, [RunStep(TagRecord(NAME, TAG, TagOutcome.COPIED), row, pulled=False)])


async def test_an_empty_store_holds_nothing(store: Store):
    held = await store.records.bundle_contents.held_content()
    assert (held.digests, dict(held.names)) == (frozenset(), {})


async def test_blobs_manifests_and_names_are_listed(store: Store):
    await hold(store, NAME, [CONFIG, LAYER], [PLUGIN], TAG.name)
    alone = await push_blob(store, b"alone", OTHER)
    held = await store.records.bundle_contents.held_content()
    assert held.digests == OF_PLUGIN | {alone.digest}
    assert held.names == {"site/network:1.0": PLUGIN.digest, f"site/network@{PLUGIN.digest}": PLUGIN.digest}


async def test_a_manifest_that_waits_for_content_is_not_held(store: Store):
    await store.records.incomplete.keep_incomplete(NAME, PLUGIN, Origin("hub", NAME, PLUGIN.digest, NOW, NOW), TAG)
    config = await push_blob(store, CONFIG, NAME)
    held = await store.records.bundle_contents.held_content()
    assert (held.digests, dict(held.names)) == (frozenset({config.digest}), {})


async def test_content_that_no_repository_holds_any_more_is_not_listed(store: Store):
    await hold(store, NAME, [CONFIG, LAYER], [PLUGIN], TAG.name)
    await store.delete_manifest(NAME, PLUGIN.digest)
    await store.delete_blob(NAME, Digest.of(LAYER))
    held = await store.records.bundle_contents.held_content()
    assert (held.digests, dict(held.names)) == (frozenset({Digest.of(CONFIG)}), {})


async def test_a_tag_that_came_with_a_bundle_is_listed_with_its_name_there(store: Store):
    await bring(store)
    names = (await store.records.bundle_contents.held_content()).names
    assert names.keys() == {
        f"{NAME}:{TAG}",
        f"{NAME}@{PLUGIN.digest}",
        f"{IN_THE_BUNDLE}:{TAG}",
        f"{IN_THE_BUNDLE}@{PLUGIN.digest}",
    }
    await hold(store, NAME, [], [LATER], TAG.name)
    assert f"{IN_THE_BUNDLE}:{TAG}" not in (await store.records.bundle_contents.held_content()).names


async def test_a_holder_is_named_for_each_digest_that_is_held(store: Store):
    await hold(store, NAME, [CONFIG, LAYER], [PLUGIN], TAG.name)
    await push_blob(store, CONFIG, OTHER)
    holders = await store.records.bundle_contents.holders([*OF_PLUGIN, ABSENT])
    assert holders == {PLUGIN.digest: NAME, Digest.of(LAYER): NAME, Digest.of(CONFIG): OTHER}
    assert await store.records.bundle_contents.holders([]) == {}
