"""Indexes that are mirrored in part: platforms, members that are gone upstream, and foreign layers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, ManifestBlobUnknown, ManifestUnknown, NotFound
from mirror.oci.media_types import DOCKER_LAYER_FOREIGN, OCI_IMAGE_CONFIG, OCI_INDEX
from mirror.oci.platform_selection import PlatformSelection
from mirror.records.absent_content import AbsenceReason
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.port import Blob
from mirror.store.registry import Store
from mirror.sync.repository_run import RunContext
from mirror.sync.rule import MirrorRule
from mirror.sync.run import run_rule
from mirror.sync.run_result import RuleResult
from mirror.sync.source.sparing_source import SparingSource
from mirror.transfer.graph.content_choice import ContentChoice, ForeignLayers
from mirror.wire.ranges import RangeRequest
from tests.support.builders import described, hold, index, manifest_of
from tests.support.multi_platform import AMD64, ARM64, BLOBS, IMAGES, INDEX, PROOFS, S390X, member
from tests.unit.sync.conftest import Upstream

THERE, HERE, TAG = Repository("library/tool"), Repository("tool"), Tag("1.0")


def rule(*platforms: str, to: str = HERE.name, **choice: Any) -> MirrorRule:
    chosen = ContentChoice(PlatformSelection.parse(platforms), **choice)
    return MirrorRule.parse("tool", f"hub/{THERE}", to, choice=chosen)


@pytest.fixture
async def upstream(upstream: Upstream) -> Upstream:
    await hold(upstream, THERE, BLOBS, [*IMAGES.values(), *PROOFS.values(), INDEX], TAG.name)
    upstream.asked.clear()
    return upstream


async def held(here: Store, repository: Repository = HERE) -> set[str]:
    """Return the platforms of the images and proofs that are held."""
    found = set()
    for kind, manifests in (("", IMAGES), ("proof of ", PROOFS)):
        for platform, manifest in manifests.items():
            try:
                await here.get_manifest(repository, manifest.digest)
            except NotFound:
                continue
            found.add(kind + platform)
    return found


async def absent(here: Store, repository: Repository = HERE) -> dict[Digest, tuple[AbsenceReason, str]]:
    found = await here.records.absent.absent_content(repository)
    return {each.digest: (each.reason, each.detail) for each in found}


def told_about(result: RuleResult) -> list[tuple[str, str]]:
    return [(record.outcome.value, "; ".join(record.warnings)) for record in result.tags]


async def lose(upstream: Upstream, manifest: Manifest) -> None:
    await upstream.delete_manifest(THERE, manifest.digest)


class TestPlatforms:
    async def test_other_members_are_left_out_with_their_proofs(
        self, upstream: Upstream, here: Store, context: RunContext
    ) -> None:
        result = await run_rule(rule(AMD64, ARM64), upstream, here, context)
        assert told_about(result) == [("copied", "")]
        assert (await here.get_manifest(HERE, TAG)).content == INDEX.content
        assert await held(here) == {AMD64, ARM64, f"proof of {AMD64}", f"proof of {ARM64}"}
        assert await absent(here) == {
            IMAGES[S390X].digest: (AbsenceReason.PLATFORM, S390X),
            PROOFS[S390X].digest: (AbsenceReason.PLATFORM, S390X),
        }

    async def test_a_second_run_reads_no_manifest(self, upstream: Upstream, here: Store, context: RunContext) -> None:
        await run_rule(rule(AMD64), upstream, here, context)
        upstream.asked.clear()
        result = await run_rule(rule(AMD64), upstream, here, context)
        assert told_about(result) == [("unchanged", "")]
        assert upstream.asked == ["list", "resolve 1.0"]

    async def test_a_wider_rule_brings_the_others(self, upstream: Upstream, here: Store, context: RunContext) -> None:
        await run_rule(rule(AMD64), upstream, here, context)
        upstream.asked.clear()
        result = await run_rule(rule(AMD64, S390X), upstream, here, context)
        assert told_about(result) == [("copied", "")]
        assert upstream.asked == ["list", "resolve 1.0", "get", "get", "get"]
        assert await held(here) == {AMD64, S390X, f"proof of {AMD64}", f"proof of {S390X}"}
        await run_rule(rule(), upstream, here, context)
        assert (len(await held(here)), await absent(here)) == (6, {})

    async def test_a_narrower_rule_removes_nothing(self, upstream: Upstream, here: Store, context: RunContext) -> None:
        await run_rule(rule(), upstream, here, context)
        result = await run_rule(rule(AMD64), upstream, here, context)
        assert (told_about(result), len(await held(here))) == ([("unchanged", "")], 6)

    async def test_no_member_for_the_platforms_fails_the_tag(
        self, upstream: Upstream, here: Store, context: RunContext
    ) -> None:
        result = await run_rule(rule("linux/riscv64"), upstream, here, context)
        (record,) = result.failed
        assert isinstance(record.error, ManifestUnknown)
        assert f"no member for linux/riscv64: it has {AMD64}, {ARM64}, {S390X}; fix:" in record.reason
        assert await held(here) == set()

    async def test_an_image_and_members_without_a_platform_are_copied(
        self, upstream: Upstream, here: Store, context: RunContext
    ) -> None:
        plain = index(member(IMAGES[AMD64]), member(IMAGES[S390X], S390X))
        await upstream.put_manifest(THERE, plain, [Tag("plain")])
        await upstream.put_manifest(THERE, IMAGES[ARM64], [Tag("image")])
        result = await run_rule(rule("linux/riscv64"), upstream, here, context)
        assert {str(record.tag): record.outcome.value for record in result.tags} == {
            "1.0": "failed",
            "plain": "copied",
            "image": "copied",
        }
        assert await held(here) == {AMD64, ARM64}

    async def test_nested_indexes_are_selected_at_each_level(
        self, upstream: Upstream, here: Store, context: RunContext
    ) -> None:
        outer = manifest_of({"manifests": [member(INDEX).to_json()]}, OCI_INDEX)
        await upstream.put_manifest(THERE, outer, [TAG])
        await run_rule(rule(AMD64), upstream, here, context)
        assert await held(here) == {AMD64, f"proof of {AMD64}"}
        result = await run_rule(rule(AMD64, ARM64), upstream, here, context)
        assert told_about(result) == [("copied", "")]
        assert await held(here) == {AMD64, ARM64, f"proof of {AMD64}", f"proof of {ARM64}"}

    async def test_every_name_of_a_rule_gets_the_same(
        self, upstream: Upstream, here: Store, context: RunContext
    ) -> None:
        chosen = ContentChoice(PlatformSelection.parse([AMD64]))
        several = MirrorRule.parse("tool", f"hub/{THERE}", ["one", "two"], choice=chosen)
        for wanted in (several, replace(several, choice=ContentChoice(PlatformSelection.parse([AMD64, ARM64])))):
            result = await run_rule(wanted, upstream, here, context)
            assert [record.outcome.value for record in result.tags] == ["copied", "copied"]
            assert await held(here, Repository("one")) == await held(here, Repository("two"))
        assert upstream.asked.count("get") == 3 + 3
        assert ARM64 in await held(here, Repository("two"))

    async def test_a_client_may_not_push_an_index_with_missing_members(
        self, upstream: Upstream, here: Store, context: RunContext
    ) -> None:
        await run_rule(rule(AMD64), upstream, here, context)
        other = index(member(IMAGES[S390X], S390X), member(IMAGES[AMD64], AMD64))
        with pytest.raises(ManifestBlobUnknown):
            await here.put_manifest(HERE, other, [TAG])
        await here.delete_manifest(HERE, INDEX.digest)
        with pytest.raises(ManifestBlobUnknown):
            await here.put_manifest(HERE, INDEX, [TAG])

    async def test_the_error_for_a_member_that_is_left_out_says_why(
        self, upstream: Upstream, here: Store, context: RunContext
    ) -> None:
        await run_rule(rule(AMD64), upstream, here, context)
        with pytest.raises(ManifestUnknown, match=r"linux/s390x .* is left out by the setting platforms"):
            await here.get_manifest(HERE, IMAGES[S390X].digest)


class TestGoneUpstream:
    async def test_the_tag_is_copied_with_a_warning_until_the_member_returns(
        self, upstream: Upstream, here: Store, context: RunContext
    ) -> None:
        await lose(upstream, IMAGES[ARM64])
        warning = f"linux/arm64 ({IMAGES[ARM64].digest}) is gone upstream"
        first = await run_rule(rule(), upstream, here, context)
        assert (first.succeeded, told_about(first)) == (True, [("copied", warning)])
        upstream.asked.clear()
        second = await run_rule(rule(), upstream, here, context)
        assert told_about(second) == [("unchanged", warning)]
        assert upstream.asked == ["list", "resolve 1.0", f"resolve {IMAGES[ARM64].digest}"]
        await upstream.put_manifest(THERE, IMAGES[ARM64])
        assert told_about(await run_rule(rule(), upstream, here, context)) == [("copied", "")]
        assert await absent(here) == {}

    async def test_a_rule_that_leaves_the_member_out_does_not_ask_for_it(
        self, upstream: Upstream, here: Store, context: RunContext
    ) -> None:
        await lose(upstream, IMAGES[ARM64])
        await run_rule(rule(), upstream, here, context)
        upstream.asked.clear()
        await run_rule(rule(AMD64), upstream, here, context)
        assert upstream.asked == ["list", "resolve 1.0"]

    async def test_an_index_without_any_member_fails(
        self, upstream: Upstream, here: Store, context: RunContext
    ) -> None:
        for manifest in IMAGES.values():
            await lose(upstream, manifest)
        result = await run_rule(rule(), upstream, here, context)
        assert isinstance(result.failed[0].error, ManifestUnknown)

    async def test_a_platform_whose_only_member_is_gone_fails(
        self, upstream: Upstream, here: Store, context: RunContext
    ) -> None:
        await lose(upstream, IMAGES[AMD64])
        result = await run_rule(rule(AMD64), upstream, here, context)
        assert isinstance(result.failed[0].error, ManifestUnknown)


FOREIGN = b"layer of windows"


def windows(content: bytes = FOREIGN, **layer: Any) -> Manifest:
    config = described(OCI_IMAGE_CONFIG, b"config").to_json()
    foreign = described(DOCKER_LAYER_FOREIGN, content).to_json() | layer
    return manifest_of({"config": config, "layers": [foreign]})


class TestForeignLayers:
    async def test_they_are_copied_if_the_upstream_has_them(
        self, upstream: Upstream, here: Store, context: RunContext
    ) -> None:
        await hold(upstream, THERE, [b"config", FOREIGN], [windows()], "1.0")
        assert told_about(await run_rule(rule(), upstream, here, context)) == [("copied", "")]
        async with here.open_blob(HERE, Digest.of(FOREIGN)) as blob:
            assert b"".join([chunk async for chunk in blob]) == FOREIGN

    async def test_others_are_a_warning(self, upstream: Upstream, here: Store, context: RunContext) -> None:
        await hold(upstream, THERE, [b"config"], [windows()], "1.0")
        warning = f"the foreign layer {Digest.of(FOREIGN)} is left out (foreign_layers: upstream)"
        assert told_about(await run_rule(rule(), upstream, here, context)) == [("copied", warning)]
        upstream.asked.clear()
        assert told_about(await run_rule(rule(), upstream, here, context)) == [("unchanged", warning)]
        assert upstream.asked == ["list", "resolve 1.0"]

    async def test_a_rule_may_leave_them_and_another_setting_brings_them(
        self, upstream: Upstream, here: Store, context: RunContext
    ) -> None:
        await hold(upstream, THERE, [b"config", FOREIGN], [windows()], "1.0")
        left = await run_rule(rule(foreign_layers=ForeignLayers.LEAVE), upstream, here, context)
        assert left.tags[0].warnings[0].endswith("is left out (foreign_layers: leave)")
        assert told_about(await run_rule(rule(), upstream, here, context)) == [("copied", "")]
        assert await absent(here) == {}

    async def test_one_that_the_upstream_names_and_does_not_send_is_a_warning(
        self, upstream: Upstream, here: Store, context: RunContext, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await hold(upstream, THERE, [b"config", FOREIGN], [windows()], "1.0")
        open_blob = upstream.open_blob

        def refusing(repository: Repository, digest: Digest, *how: Any, **ever: Any) -> Any:
            if digest == Digest.of(FOREIGN):
                raise BlobUnknown("lost")
            return open_blob(repository, digest, *how, **ever)

        monkeypatch.setattr(upstream, "open_blob", refusing)
        (told,) = told_about(await run_rule(rule(), upstream, here, context))
        assert (told[0], told[1].endswith("(foreign_layers: upstream: lost)")) == ("copied", True)

    async def test_those_of_an_image_in_an_index_are_told_in_each_run_and_brought_by_another_setting(
        self, upstream: Upstream, here: Store, context: RunContext
    ) -> None:
        await hold(upstream, THERE, [b"config", FOREIGN], [windows()])
        await upstream.put_manifest(THERE, index(member(windows(), "windows/amd64")), [TAG])
        leaving = rule(foreign_layers=ForeignLayers.LEAVE)
        told = [told_about(await run_rule(leaving, upstream, here, context)) for _ in range(2)]
        warning = f"the foreign layer {Digest.of(FOREIGN)} is left out (foreign_layers: leave)"
        assert told == [[("copied", warning)], [("unchanged", warning)]]
        assert told_about(await run_rule(rule(), upstream, here, context)) == [("copied", "")]
        assert await absent(here) == {}

    async def test_they_are_read_from_their_urls_through_the_sources_of_a_run(
        self, upstream: Upstream, here: Store, context: RunContext
    ) -> None:
        await hold(upstream, THERE, [b"config"], [windows(urls=["https://cdn.example/layer"])], "1.0")
        by_url = rule(foreign_layers=ForeignLayers.URLS, foreign_hosts=("cdn.example",))
        source = SparingSource(ReadingUrls(upstream), here.records.sync_runs.held_manifest)
        assert told_about(await run_rule(by_url, source, here, context)) == [("copied", "")]
        assert (await here.stat_blob(HERE, Digest.of(FOREIGN))).size_bytes == len(FOREIGN)

    async def test_a_tag_is_unchanged_while_their_server_fails(
        self, upstream: Upstream, here: Store, context: RunContext
    ) -> None:
        await hold(upstream, THERE, [b"config"], [windows(urls=["https://cdn.example/layer"])], "1.0")
        by_url = rule(foreign_layers=ForeignLayers.URLS, foreign_hosts=("cdn.example",))
        results = [await run_rule(by_url, upstream, here, context) for _ in range(2)]
        assert [result.tags[0].outcome.value for result in results] == ["copied", "unchanged"]
        assert all(len(result.tags[0].warnings) == 1 for result in results)
        (stored,) = await context.journal.entries((await context.journal.runs("tool", 1))[0].id)
        assert stored.warnings == results[1].tags[0].warnings


class ReadingUrls(DelegatingRegistry):
    """An upstream that finds a layer at any URL."""

    @asynccontextmanager
    async def open_url(self, url: str, layer: Descriptor, part: RangeRequest | None = None) -> AsyncIterator[Blob]:
        place = Repository("elsewhere")
        await hold(self.inner, place, [FOREIGN], [])
        async with self.inner.open_blob(place, layer.digest, part) as blob:
            yield blob
