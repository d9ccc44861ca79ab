"""A dry run predicts the run that follows, changes nothing, and finds nothing left to move after the run."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import UpstreamRefused
from mirror.oci.media_types import DOCKER_LAYER_FOREIGN
from mirror.oci.platform_selection import PlatformSelection
from mirror.plugin.build.derivation_changes import DerivationChanges
from mirror.records.lifecycle.pins import Pin
from mirror.records.sync_runs import TagOutcome, TagRecord
from mirror.registry.streams import single_chunk
from mirror.store.registry import Store
from mirror.sync.dry_run import dry_run_context
from mirror.sync.dry_run_registry import DryRunRegistry
from mirror.sync.repository_run import RunContext
from mirror.sync.retention import Retention
from mirror.sync.rule import MirrorRule
from mirror.sync.run import run_rules
from mirror.sync.run_result import RunSummary
from mirror.sync.upstream_delete import OnUpstreamDelete
from mirror.transfer.graph.content_choice import ContentChoice
from mirror.transfer.tags.tag_selection import TagSelection
from tests.support.builders import described, hold, index, plugin
from tests.support.clocks import HandClock
from tests.support.layers import LAYER as ZIPPED
from tests.support.multi_platform import AMD64, ARM64, IMAGES, INDEX, PROOFS, S390X
from tests.support.multi_platform import BLOBS as MULTI_BLOBS
from tests.unit.sync.conftest import Told, Watched

THERE, HERE, ELSEWHERE = Repository("store/contiv"), Repository("contiv"), Repository("site/network")
CONFIG = json.dumps({"Env": [{"Name": "role", "Value": "master"}]}).encode()
OTHER_CONFIG = json.dumps({"Env": [{"Name": "role"}], "Network": {"Type": "host"}}).encode()
OLD, NEW, SHARED = b"old layer" * 5, b"new layer, longer" * 7, b"shared layer" * 3
FIRST, SECOND = plugin(CONFIG, OLD, SHARED), plugin(OTHER_CONFIG, NEW, SHARED)
BLOBS = [CONFIG, OTHER_CONFIG, OLD, NEW, SHARED]


@pytest.fixture
async def upstream() -> Watched:
    upstream = Watched()
    await hold(upstream, THERE, BLOBS, [FIRST], "1.0", "stable")
    await hold(upstream, THERE, [], [SECOND], "2.0")
    return upstream


def ruled(*to: str, name: str = "contiv", **options: Any) -> MirrorRule:
    return MirrorRule.parse(name, f"hub/{THERE}", to or HERE.name, **options)


class World:
    """An upstream, a store, and runs between them."""

    def __init__(self, upstream: Watched, store: Store, data: Path, context: RunContext, clock: HandClock) -> None:
        self.upstream = upstream
        self.store = store
        self.clock = clock
        self._data = data
        self._context = context

    async def run(self, *rules: MirrorRule) -> RunSummary:
        context = replace(self._context, rules=rules)
        return await run_rules(rules, {"hub": self.upstream}, self.store, nullcontext, context)

    async def dry_run(self, *rules: MirrorRule) -> RunSummary:
        """Make a dry run. Fails if the store changes."""
        before = self.content()
        registry = DryRunRegistry(self.store, self.store.find_blob, self.store.downloads, self.store.check_deletable)
        sources = {"hub": registry.source(self.upstream)}
        context = dry_run_context(replace(self._context, rules=rules), registry)
        summary = await run_rules(rules, sources, registry, nullcontext, context)
        assert self.content() == before
        return summary

    async def both(self, *rules: MirrorRule) -> RunSummary:
        """Make a dry run, the run, and a dry run with nothing left to do. Returns the summary of the run."""
        dry = await self.dry_run(*rules)
        done = await self.run(*rules)
        assert told(dry) == told(done)
        again = await self.dry_run(*rules)
        assert (again.count(TagOutcome.COPIED), again.moved_bytes) == (0, 0)
        return done

    def content(self) -> tuple[list[str], dict[str, bytes]]:
        """Return the catalog, and every file beside it."""
        with sqlite3.connect(f"file:{self._data / 'catalog.sqlite'}?mode=ro", uri=True) as catalog:
            rows = list(catalog.iterdump())
        catalog.close()
        files = (path for path in self._data.rglob("*") if path.is_file() and "catalog" not in path.name)
        return rows, {str(path): path.read_bytes() for path in files}

    async def tag(self, tag: str, manifest: Manifest) -> None:
        await self.upstream.put_manifest(THERE, manifest, [Tag(tag)])


def told(summary: RunSummary) -> list[tuple[object, ...]]:
    """Return the content of a summary, without the assignment of shared blobs and referrers to tags."""
    counts = [(outcome, summary.count(outcome)) for outcome in TagOutcome]
    tags = [
        replace(record, moved_bytes=0, error=None, reason=re.sub(r"(, )?with \d+ referrer\(s\)$", "", record.reason))
        for result in summary.rules
        for record in result.tags
    ]
    tags.sort(key=TagRecord.name.fget)  # type: ignore[attr-defined,arg-type]
    return [*counts, ("moved", summary.moved_bytes), *((record,) for record in tags)]


@pytest.fixture
def world(upstream: Watched, here: Store, tmp_path: Path, context: RunContext, clock: HandClock) -> World:
    return World(upstream, here, tmp_path / "data", context, clock)


def artifact(layer: bytes, **members: Any) -> Manifest:
    value = json.loads(plugin(CONFIG, layer).content)
    value |= {"mediaType": "application/vnd.oci.image.manifest.v1+json", **members}
    return Manifest.parse(json.dumps(value).encode(), value["mediaType"])


def referrer(subject: Manifest, layer: bytes) -> Manifest:
    return artifact(layer, subject=subject.descriptor.to_json(), artifactType="application/vnd.acme.signature")


async def test_plugins_that_share_blobs(world: World) -> None:
    done = await world.both(ruled())
    assert (done.count(TagOutcome.COPIED), done.moved_bytes) == (3, sum(map(len, BLOBS)))


async def test_only_manifests_and_configs_are_read_and_no_tag_is_reported(world: World, told: Told) -> None:
    await world.dry_run(ruled())
    assert set(world.upstream.read) == {Digest.of(CONFIG), Digest.of(OTHER_CONFIG)}
    assert told.lines == []


async def test_a_plugin_that_does_not_know_its_new_name_is_told(world: World) -> None:
    config = json.dumps({"Env": [{"Name": "plugin_name", "Value": "store/contiv:9", "Settable": ["value"]}]}).encode()
    await hold(world.upstream, THERE, [config, OLD], [plugin(config, OLD)], "9")
    rule = ruled(HERE.name, THERE.name, tags=TagSelection.parse(("9",)))
    assert [record.advice for record in (await world.both(rule)).rules[0].tags] == [
        "plugin_name is store/contiv:9, so the driver does not know its name contiv:9; fix: install it with --alias "
        "contiv:9 and plugin_name=contiv:9",
        "",
    ]


async def test_an_index_with_members(world: World) -> None:
    await world.tag("all", index(FIRST.descriptor, SECOND.descriptor))
    await world.upstream.put_manifest(THERE, index(FIRST.descriptor))
    await world.tag("nested", index(index(FIRST.descriptor).descriptor, SECOND.descriptor))
    assert (await world.both(ruled(tags=TagSelection.parse(("all", "nested"))))).count(TagOutcome.COPIED) == 2


async def test_an_index_in_part(world: World) -> None:
    await hold(world.upstream, THERE, MULTI_BLOBS, [*IMAGES.values(), *PROOFS.values(), INDEX], "all")
    await world.upstream.delete_manifest(THERE, IMAGES[ARM64].digest)
    selected = TagSelection.parse(("all",))
    for platforms in ((AMD64, ARM64), (AMD64, ARM64, S390X)):
        choice = ContentChoice(PlatformSelection.parse(platforms))
        done = await world.both(ruled(tags=selected, choice=choice))
        assert done.count(TagOutcome.COPIED) == 1
        assert "is gone upstream" in done.rules[0].tags[0].warnings[0]


@pytest.mark.parametrize("held", [True, False])
async def test_foreign_layers(world: World, held: bool) -> None:
    layer = described(DOCKER_LAYER_FOREIGN, b"foreign").to_json() | {"urls": ["https://layers.example/1"]}
    image = artifact(OLD, layers=[layer])
    await hold(world.upstream, THERE, [CONFIG, *([b"foreign"] if held else [])], [image], "windows")
    done = await world.both(ruled(tags=TagSelection.parse(("windows",))))
    assert done.moved_bytes == len(CONFIG) + (len(b"foreign") if held else 0)


async def test_referrers_and_what_refers_to_them(world: World) -> None:
    signed = referrer(FIRST, b"signature")
    await hold(world.upstream, THERE, [b"signature", b"more"], [signed, referrer(signed, b"more")])
    done = await world.both(ruled())
    assert done.moved_bytes == sum(map(len, [*BLOBS, b"signature", b"more"]))


async def test_a_referrer_that_comes_later_is_counted_once_for_tags_of_one_digest(world: World) -> None:
    await world.run(ruled())
    await hold(world.upstream, THERE, [b"later"], [referrer(FIRST, b"later")])
    dry = await world.dry_run(ruled())
    done = await world.run(ruled())
    for summary in (dry, done):
        assert (summary.count(TagOutcome.COPIED), summary.count(TagOutcome.UNCHANGED)) == (1, 2)
        assert summary.moved_bytes == len(b"later")


async def test_a_referrer_of_a_member_of_an_index(world: World) -> None:
    await world.tag("all", index(FIRST.descriptor))
    await hold(world.upstream, THERE, [b"about a member"], [referrer(FIRST, b"about a member")])
    done = await world.both(ruled(tags=TagSelection.parse(("all",))))
    assert done.moved_bytes == len(CONFIG + OLD + SHARED + b"about a member")


@pytest.mark.parametrize("ending", ["sig", "att", "sbom"])
async def test_tags_of_cosign(world: World, ending: str) -> None:
    layer = b"of cosign" * 9
    await hold(world.upstream, THERE, [layer], [artifact(layer)], f"sha256-{FIRST.digest.hex}.{ending}")
    done = await world.both(ruled(tags=TagSelection.parse(("1.0",))))
    assert (done.count(TagOutcome.COPIED), done.moved_bytes) == (2, len(CONFIG + OLD + SHARED + layer))


async def test_a_signature_that_has_a_referrer_and_one_that_moves(world: World) -> None:
    name = f"sha256-{FIRST.digest.hex}.sig"
    signature = artifact(b"one")
    await hold(world.upstream, THERE, [b"one"], [signature], name)
    await hold(world.upstream, THERE, [b"about"], [referrer(signature, b"about")])
    await world.both(ruled())
    await hold(world.upstream, THERE, [b"another"], [artifact(b"another")], name)
    assert (await world.both(ruled())).moved_bytes == len(b"another")


async def test_copies_with_changes(world: World) -> None:
    rule = ruled(changes=DerivationChanges(env={"role": "worker"}))
    name = f"sha256-{FIRST.digest.hex}.sig"
    await hold(world.upstream, THERE, [b"signature"], [artifact(b"signature")], name)
    done = await world.both(rule)
    assert (done.count(TagOutcome.COPIED), done.moved_bytes) == (4, sum(map(len, [*BLOBS, b"signature"])))
    await world.tag("1.0", SECOND)
    (moved,) = (record for record in (await world.both(rule)).rules[0].tags if str(record.tag) == "1.0")
    assert moved.difference == ("+ network: host",)


async def test_copies_with_changes_that_change_nothing_and_other_changes(world: World) -> None:
    await world.both(ruled(changes=DerivationChanges(env={"role": "master"}), tags=TagSelection.parse(("1.0",))))
    await world.both(ruled(changes=DerivationChanges(env={"role": "other"})))
    await world.both(ruled())


async def test_a_copy_with_changes_that_cannot_be_made(world: World) -> None:
    nameless = plugin(b"{}", OLD)
    await hold(world.upstream, THERE, [b"{}"], [nameless], "3.0")
    rule = ruled(changes=DerivationChanges(env={"role": "worker"}))
    dry = await world.dry_run(rule)
    assert told(dry) == told(await world.run(rule))
    assert (dry.count(TagOutcome.FAILED), dry.moved_bytes) == (1, sum(map(len, [*BLOBS, b"{}"])))


async def test_a_copy_that_is_mended_counts_and_its_digest_is_told_once_its_layer_is_here(world: World) -> None:
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [str(Digest.of(ZIPPED))]}}).encode()
    await hold(world.upstream, THERE, [config, ZIPPED], [plugin(config, ZIPPED)], "3.0")
    rule = ruled(changes=DerivationChanges(fix=True), tags=TagSelection.parse(("3.0",)))
    dry, done = await world.dry_run(rule), await world.run(rule)
    for summary in (dry, done):
        assert (summary.count(TagOutcome.COPIED), summary.moved_bytes) == (1, len(config) + len(ZIPPED))
    assert dry.rules[0].tags[0].after is None
    await world.store.delete_tag(HERE, Tag("3.0"))
    assert (await world.both(rule)).rules[0].tags[0].after == done.rules[0].tags[0].after


async def test_a_second_target_moves_nothing(world: World) -> None:
    await world.tag("all", index(FIRST.descriptor))
    done = await world.both(ruled(HERE.name, ELSEWHERE.name))
    assert (done.count(TagOutcome.COPIED), done.moved_bytes) == (8, sum(map(len, BLOBS)))


async def test_a_second_target_that_is_added_later(world: World) -> None:
    await world.run(ruled(HERE.name))
    assert (await world.both(ruled(HERE.name, ELSEWHERE.name))).moved_bytes == 0


async def test_a_second_target_of_copies_with_changes(world: World) -> None:
    rule = ruled(HERE.name, ELSEWHERE.name, changes=DerivationChanges(env={"role": "{name}"}))
    assert (await world.both(rule)).moved_bytes == sum(map(len, BLOBS))


async def test_two_rules_of_one_upstream(world: World) -> None:
    done = await world.both(ruled(HERE.name), ruled(ELSEWHERE.name, name="site"))
    assert done.moved_bytes == sum(map(len, BLOBS))


async def test_repositories_of_a_pattern_share_blobs(world: World) -> None:
    await hold(world.upstream, Repository("store/other"), BLOBS, [SECOND], "1")
    done = await world.both(MirrorRule.parse("all", "hub/store/*", "mirrored/*"))
    assert done.moved_bytes == sum(map(len, BLOBS))


async def test_a_blob_that_another_repository_holds(world: World) -> None:
    await hold(world.store, Repository("elsewhere"), [CONFIG, SHARED], [plugin(CONFIG, SHARED)], "x")
    assert (await world.both(ruled())).moved_bytes == len(OTHER_CONFIG + OLD + NEW)


async def test_a_download_that_was_interrupted(world: World) -> None:
    digest = Digest.of(NEW)
    download = await world.store.downloads.claim_download(HERE, digest)
    assert download is not None
    await download.append(single_chunk(NEW[:40]), lambda: None)
    await download.release()
    assert (await world.both(ruled())).moved_bytes == sum(map(len, BLOBS)) - 40


async def test_a_tag_that_was_pushed_here_and_one_that_is_pinned(world: World) -> None:
    own = plugin(b"{}", b"our own")
    await hold(world.store, HERE, [b"{}", b"our own"], [own], "2.0")
    rule = ruled(pins={"stable": str(FIRST.digest), "held": str(SECOND.digest)})
    done = await world.both(rule)
    assert (done.count(TagOutcome.SKIPPED), done.count(TagOutcome.COPIED)) == (1, 3)
    await world.tag("stable", SECOND)
    assert (await world.both(rule)).count(TagOutcome.SKIPPED) == 2


async def test_a_tag_that_moves(world: World) -> None:
    await world.run(ruled())
    await world.tag("1.0", SECOND)
    (record,) = (record for record in (await world.both(ruled())).rules[0].tags if str(record.tag) == "1.0")
    assert (record.before, record.after, record.difference) == (FIRST.digest, SECOND.digest, ("+ network: host",))


@pytest.mark.parametrize("on_upstream_delete", OnUpstreamDelete)
async def test_tags_that_are_gone_upstream(world: World, on_upstream_delete: OnUpstreamDelete) -> None:
    rule = ruled(on_upstream_delete=on_upstream_delete, pins={"2.0": str(SECOND.digest)})
    await world.run(rule)
    await world.upstream.delete_tag(THERE, Tag("1.0"))
    await world.upstream.delete_tag(THERE, Tag("2.0"))
    done = await world.both(rule)
    assert done.count(TagOutcome.DROPPED) == (on_upstream_delete is OnUpstreamDelete.FOLLOW)
    await world.tag("1.0", FIRST)
    await world.both(rule)


async def test_a_gone_tag_that_an_operator_has_pinned(world: World) -> None:
    rule = ruled(on_upstream_delete=OnUpstreamDelete.FOLLOW)
    await world.run(rule)
    await world.store.records.pins.pin(Pin(HERE, Tag("1.0"), "anna", world.clock.now(), "the last good one"))
    await world.upstream.delete_tag(THERE, Tag("1.0"))
    assert (await world.both(rule)).count(TagOutcome.SKIPPED) == 1


async def test_a_gone_tag_that_was_pushed_over(world: World) -> None:
    rule = ruled(on_upstream_delete=OnUpstreamDelete.FOLLOW)
    await world.run(rule)
    await hold(world.store, HERE, [b"{}", b"our own"], [plugin(b"{}", b"our own")], "1.0")
    await world.upstream.delete_tag(THERE, Tag("1.0"))
    assert (await world.both(rule)).count(TagOutcome.SKIPPED) == 1


async def test_rules_that_meet_and_a_rule_with_another_source(world: World) -> None:
    other = Repository("other/driver")
    await hold(world.upstream, other, BLOBS, [SECOND], "1.0", "3.0")
    second = MirrorRule.parse("second", f"hub/{other}", HERE.name)
    done = await world.both(ruled(), second)
    assert (done.count(TagOutcome.COPIED), done.count(TagOutcome.FAILED)) == (4, 1)
    assert (await world.both(second)).count(TagOutcome.COPIED) == 1


async def test_retention_with_signatures(world: World) -> None:
    await hold(world.upstream, THERE, [b"one"], [artifact(b"one")], f"sha256-{FIRST.digest.hex}.sig")
    await world.run(ruled())
    done = await world.both(ruled(retention=Retention(newest=1)))
    assert done.count(TagOutcome.DROPPED) == 3


async def test_retention_by_pulls(world: World) -> None:
    rule = ruled(retention=Retention(pulled_within=timedelta(days=9)))
    await world.both(rule)
    world.clock.advance(days=10)
    assert (await world.both(rule)).count(TagOutcome.DROPPED) == 3


async def test_a_rule_and_a_tag_that_fail(world: World) -> None:
    world.upstream.broken[SECOND.digest] = UpstreamRefused("not for you")
    rules = (ruled(), ruled(name="typo"), MirrorRule.parse("other", "hub/nothing/*", "x/*"))
    dry = await world.dry_run(*rules)
    done = await world.run(*rules)
    assert told(dry) == told(done)
    assert [str(result.error) for result in dry.rules] == [str(result.error) for result in done.rules]
