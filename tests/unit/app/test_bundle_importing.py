"""Import of bundles into a store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from mirror.app.plugin_inspection import inspect_reference
from mirror.app.storage.collecting import collect
from mirror.bundle import bundled_repository, reader
from mirror.bundle.bundle_errors import BundleIncomplete, BundleInvalid, BundleUntrusted
from mirror.bundle.format.bundle_layout import BundleLayout
from mirror.bundle.format.byte_source import ByteSource, FileSource
from mirror.bundle.format.statement import NameOrigin, Notes, Since
from mirror.bundle.importing.import_result import ImportResult
from mirror.bundle.parts.splitting import split_bundle
from mirror.oci import Descriptor, Digest, Manifest, Reference, Repository, Tag
from mirror.oci.errors import ConfigurationFault, Denied, ManifestUnknown, TagConflict
from mirror.oci.media_types import DOCKER_LAYER_FOREIGN
from mirror.oci.name_mapping import NameMapping
from mirror.records.absent_content import AbsenceReason, AbsentContent
from mirror.records.derivations import Derivation
from mirror.records.origins import Origin
from mirror.records.sync_runs import MirroredTag, RunStep, TagChange, TagOutcome
from mirror.runtime.current_rule import working_for
from mirror.store.catalog.tables.bundle_tables import bundle_notes
from mirror.store.records.bundles.sql_bundle_imports import SqlBundleImports
from mirror.sync.rule import MirrorRule
from mirror.sync.rules.rule_order import RuleOrder
from mirror.transfer.progress_reporting import SilentProgress
from mirror.wire.pagination import PageRequest
from tests.support.builders import manifest_of, plugin, push_image, read_blob
from tests.support.bundles import OTHER_KEY, small_plugin
from tests.support.importing_site import Site
from tests.support.layers import entry, tar, zipped
from tests.support.multi_platform import AMD64, ARM64, BLOBS, IMAGES, INDEX, PROOFS
from tests.support.plugins import DRIVER as PROGRAM

DRIVER_1, BLOBS_1 = small_plugin()
DRIVER_2, BLOBS_2 = small_plugin(Description="the second")
NAMES = {"acme/driver:1": DRIVER_1, "acme/driver:2": DRIVER_2}
CONTENTS = [*BLOBS_1, *BLOBS_2]
DRIVER, LONG_AGO = Repository("acme/driver"), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def outcomes(result: ImportResult) -> dict[str, TagOutcome]:
    return {str(name.local): name.outcome for name in result.names}


def large(number: int) -> tuple[Manifest, list[bytes]]:
    """Return a plugin with a layer of 64 KiB that is like no other."""
    body = number.to_bytes(2) * 32 * 1024
    layer = zipped(tar(entry("bin/driver", PROGRAM, mode=0o755), entry("data", body)), level=0)
    return small_plugin(layer, Description=f"number {number}")


class TestContent:
    async def test_names_come_with_all_their_content_and_the_same_bytes(self, site: Site):
        path, _ = site.bundle(NAMES, CONTENTS)
        result = await site.bring(path)
        assert outcomes(result) == {"acme/driver:1": TagOutcome.COPIED, "acme/driver:2": TagOutcome.COPIED}
        assert await site.tags(*NAMES) == {name: manifest.digest for name, manifest in NAMES.items()}
        assert result.moved_bytes == len(b"".join(dict.fromkeys(CONTENTS)))

    async def test_again_it_reads_and_writes_nothing(self, site: Site):
        path, _ = site.bundle(NAMES, CONTENTS)
        await site.bring(path)
        async with site.store() as store:
            before = await store.records.bundle_trust.find_stream("test")
        result = await site.bring(path)
        assert outcomes(result) == dict.fromkeys(NAMES, TagOutcome.UNCHANGED)
        assert result.moved_bytes == 0
        async with site.store() as store:
            assert await store.records.bundle_trust.find_stream("test") == before

    async def test_content_with_many_names_is_read_once(self, site: Site, monkeypatch: pytest.MonkeyPatch):
        reads: list[Digest] = []
        read = bundled_repository.read_manifest

        async def counted(layout: BundleLayout, source: ByteSource, descriptor: Descriptor) -> Manifest:
            reads.append(descriptor.digest)
            return await read(layout, source, descriptor)

        monkeypatch.setattr(reader, "read_manifest", counted)
        names = {f"acme/driver:{number}": INDEX for number in range(20)}
        path, _ = site.bundle(names, [*IMAGES.values(), *PROOFS.values(), *BLOBS])
        assert outcomes(await site.bring(path)) == dict.fromkeys(names, TagOutcome.COPIED)
        assert await site.tags(*names) == dict.fromkeys(names, INDEX.digest)
        assert reads.count(IMAGES[AMD64].digest) < 10

    async def test_a_refusal_is_told_for_each_name(self, tmp_path: Path):
        rules = {"rules": [{"name": "nothing", "action": "deny", "names": ["acme/driver"]}]}
        site = Site(tmp_path, admission=rules)
        path, _ = site.bundle({"acme/driver:1": DRIVER_1, "acme/driver:2": DRIVER_1}, BLOBS_1)
        result = await site.bring(path)
        assert [type(error) for error in result.errors] == [Denied, Denied]
        assert await site.tags("acme/driver:1", "acme/driver:2") == {}

    async def test_content_without_a_tag_comes_too(self, site: Site):
        signature = manifest_of({"subject": DRIVER_1.descriptor.to_json(), "config": _described(b"{}"), "layers": []})
        path, _ = site.bundle(
            {"acme/driver:1": DRIVER_1, f"acme/driver@{signature.digest}": signature}, [*BLOBS_1, b"{}"]
        )
        await site.bring(path)
        async with site.store() as store:
            (found,) = (await store.list_referrers(DRIVER, DRIVER_1.digest, None, PageRequest())).entries
        assert found.digest == signature.digest
        assert set(outcomes(await site.bring(path)).values()) == {TagOutcome.UNCHANGED}

    async def test_an_index_comes_without_the_members_that_the_sender_lacks(self, site: Site):
        held = [IMAGES[AMD64], PROOFS[AMD64]]
        lacking = [each for each in INDEX.manifests if each.digest not in {one.digest for one in held}]
        absent = [AbsentContent(INDEX.digest, each.digest, AbsenceReason.PLATFORM, ARM64) for each in lacking]
        blobs = [blob for blob in BLOBS if AMD64.encode() in blob]
        notes = Notes(absent=tuple(each.to_json() for each in absent))
        path, _ = site.bundle({"acme/driver:1": INDEX}, [*held, *blobs], notes=notes)
        await site.bring(path)
        async with site.store() as store:
            assert (await store.get_manifest(DRIVER, Tag("1"))).digest == INDEX.digest
            assert [*await store.records.absent.absent_content(DRIVER)] == sorted(absent, key=lambda each: each.digest)

    async def test_members_that_were_absent_come_with_a_later_bundle(self, site: Site):
        everything = [*IMAGES.values(), *PROOFS.values()]
        held = [IMAGES[AMD64], PROOFS[AMD64]]
        absent = [
            AbsentContent(INDEX.digest, each.digest, AbsenceReason.PLATFORM, ARM64).to_json()
            for each in everything
            if each not in held
        ]
        blobs = [blob for blob in BLOBS if AMD64.encode() in blob]
        await site.bring(site.bundle({"acme/driver:1": INDEX}, [*held, *blobs], notes=Notes(absent=tuple(absent)))[0])
        path, _ = site.bundle({"acme/driver:1": INDEX}, [*everything, *BLOBS], serial=2)
        assert outcomes(await site.bring(path)) == {"acme/driver:1": TagOutcome.COPIED}
        async with site.store() as store:
            for each in everything:
                assert (await store.get_manifest(DRIVER, each.digest)).digest == each.digest
            assert await store.records.absent.absent_content(DRIVER) == []
        assert outcomes(await site.bring(path)) == {"acme/driver:1": TagOutcome.UNCHANGED}

    async def test_a_foreign_layer_that_was_absent_comes_with_a_later_bundle(self, site: Site):
        layer = _described(b"layer") | {"mediaType": DOCKER_LAYER_FOREIGN, "urls": ["http://127.0.0.1:1/layer"]}
        image = manifest_of({"config": _described(b"{}"), "layers": [layer]})
        await site.bring(site.bundle({"acme/driver:1": image}, [b"{}"])[0])
        path, _ = site.bundle({"acme/driver:1": image}, [b"{}", b"layer"], serial=2)
        assert outcomes(await site.bring(path)) == {"acme/driver:1": TagOutcome.COPIED}
        async with site.store() as store:
            assert await read_blob(store, Digest.of(b"layer"), DRIVER) == b"layer"
            assert await store.records.absent.absent_content(DRIVER) == []
        assert outcomes(await site.bring(path)) == {"acme/driver:1": TagOutcome.UNCHANGED}

    async def test_a_plugin_that_is_refused_does_not_stop_the_others(self, site: Site):
        rule = {"name": "no-root", "action": "deny", "privileges": ["network=host"]}
        strict = Site(site.folder, admission={"default": "allow", "rules": [rule]})
        bad, blobs = small_plugin(Network={"Type": "host"})
        path, _ = strict.bundle({"acme/bad:1": bad, "acme/driver:1": DRIVER_1}, [*blobs, *BLOBS_1])
        result = await strict.bring(path)
        assert outcomes(result) == {"acme/bad:1": TagOutcome.FAILED, "acme/driver:1": TagOutcome.COPIED}
        (error,) = result.errors
        assert isinstance(error, Denied)
        assert [*await strict.tags("acme/bad:1", "acme/driver:1")] == ["acme/driver:1"]
        # With another policy, the same bundle brings the rest.
        assert outcomes(await site.bring(path))["acme/bad:1"] is TagOutcome.COPIED

    async def test_a_plugin_that_waits_for_a_decision_is_told(self, site: Site):
        strict = Site(site.folder, admission={"default": "hold"})
        path, _ = strict.bundle({"acme/driver:1": DRIVER_1}, BLOBS_1)
        (name,) = (await strict.bring(path)).names
        assert name.outcome is TagOutcome.COPIED
        assert "admission approve acme/driver@" in name.notes[0]

    async def test_privileges_that_grow_are_told_before_and_after(self, site: Site):
        grown, blobs = small_plugin(Network={"Type": "host"})
        await site.bring(site.bundle({"acme/driver:1": DRIVER_1}, BLOBS_1)[0])
        path, _ = site.bundle({"acme/driver:1": grown}, blobs, serial=2)
        for result in (await site.try_out(path), await site.bring(path)):
            assert result.names[0].difference == ("+ network: host",)

    async def test_notes_of_the_sender_are_kept(self, site: Site):
        derivation = Derivation("hub/acme/driver", DRIVER_2.digest, "user root", LONG_AGO, {"env": {"A": "1"}}, ("A",))
        stranger = Digest.of(b"no manifest of the bundle")
        first_seen = {DRIVER_1.digest: LONG_AGO, stranger: LONG_AGO}
        notes = Notes(derivations={DRIVER_1.digest: derivation.to_json()}, first_seen=first_seen)
        path, _ = site.bundle(NAMES, CONTENTS, notes=notes)
        await site.bring(path)
        async with site.store() as store:
            assert await store.records.derivations.derivation(DRIVER_1.digest) == derivation
            rows = await store.services.catalog.read(lambda connection: connection.execute(select(bundle_notes)).all())
        assert rows == [(str(DRIVER_1.digest), "test", LONG_AGO)]
        inspected = await inspect_reference(site.settings, Reference.parse("acme/driver:1"), None)
        assert inspected.derivation == derivation
        assert inspected.origin is not None
        assert inspected.origin.first_seen == LONG_AGO
        later = Notes(first_seen={DRIVER_1.digest: LONG_AGO + timedelta(days=1)})
        await site.bring(site.bundle({"acme/driver:3": DRIVER_1}, BLOBS_1, stream="other", notes=later)[0])
        async with site.store() as store:
            rows = await store.services.catalog.read(lambda connection: connection.execute(select(bundle_notes)).all())
        assert rows == [(str(DRIVER_1.digest), "test", LONG_AGO)]

    @pytest.mark.parametrize("notes", [Notes(absent=({"manifest": "x"},)), Notes(derivations={DRIVER_1.digest: {}})])
    async def test_malformed_notes_are_refused_before_anything_is_written(self, site: Site, notes: Notes):
        path, _ = site.bundle(NAMES, CONTENTS, notes=notes)
        with pytest.raises(BundleInvalid, match="notes"):
            await site.bring(path)
        await _require_nothing(site)


class TestTrust:
    async def test_a_bundle_that_nobody_trusted_has_signed_is_refused_before_anything_is_written(self, site: Site):
        for keys in ((OTHER_KEY,), ()):
            path, _ = site.bundle(NAMES, CONTENTS, keys=keys)
            with pytest.raises(BundleUntrusted):
                await site.bring(path)
        assert not site.data.exists()
        await site.bring(site.bundle({"acme/driver:1": DRIVER_1}, BLOBS_1, stream="first")[0])
        with pytest.raises(BundleUntrusted):
            await site.bring(path)
        assert await site.tags(*NAMES) == {"acme/driver:1": DRIVER_1.digest}

    async def test_an_unsigned_bundle_is_imported_by_name(self, site: Site):
        path, _ = site.bundle(NAMES, CONTENTS, keys=())
        assert TagOutcome.COPIED in outcomes(await site.bring(path, keys=[], unsigned=True)).values()

    async def test_an_older_bundle_is_refused_unless_named(self, site: Site):
        old, _ = site.bundle({"acme/driver:1": DRIVER_1}, BLOBS_1, serial=1)
        new, _ = site.bundle({"acme/driver:1": DRIVER_2}, BLOBS_2, serial=2)
        await site.bring(new)
        with pytest.raises(BundleUntrusted, match="older"):
            await site.bring(old)
        assert await site.tags("acme/driver:1") == {"acme/driver:1": DRIVER_2.digest}
        await site.bring(old, allow_rollback=1)
        assert await site.tags("acme/driver:1") == {"acme/driver:1": DRIVER_1.digest}

    async def test_a_gap_is_told(self, site: Site):
        await site.bring(site.bundle(NAMES, CONTENTS, serial=1)[0])
        result = await site.bring(site.bundle(NAMES, CONTENTS, serial=3, previous=Digest.of(b"bundle 2"))[0])
        assert "follows bundle 1" in result.warnings[-1]

    async def test_a_later_bundle_at_the_same_time_wins(self, site: Site, monkeypatch: pytest.MonkeyPatch):
        old, _ = site.bundle({"acme/driver:1": DRIVER_1}, BLOBS_1, serial=1)
        new, _ = site.bundle({"acme/driver:1": DRIVER_2}, BLOBS_2, serial=2)
        _before_the_end(monkeypatch, lambda: site.bring(new))
        with pytest.raises(BundleUntrusted, match="older"):
            await site.bring(old)
        assert await site.tags("acme/driver:1") == {"acme/driver:1": DRIVER_2.digest}

    async def test_a_damaged_bundle_moves_no_tag_and_the_right_one_follows(self, site: Site):
        path, built = site.bundle(NAMES, CONTENTS)
        layer = DRIVER_2.layers[0]
        path.write_bytes(built.with_content(f"blobs/sha256/{layer.digest.hex}", bytes(layer.size_bytes)))
        with pytest.raises(BundleInvalid, match="damaged"):
            await site.bring(path)
        assert await site.tags(*NAMES) == {}
        path.write_bytes(built.content)
        await site.bring(path)
        assert (await site.tags(*NAMES)).keys() == NAMES.keys()

    async def test_a_report_that_lies_is_refused_before_anything_is_written(self, site: Site):
        facts = {"kind": "plugin", "size_bytes": 1}
        report = {"format": 1, "manifests": {str(DRIVER_1.digest): facts}}
        path, _ = site.bundle(NAMES, CONTENTS, report=json.dumps(report).encode())
        with pytest.raises(BundleInvalid, match="report"):
            await site.bring(path)
        await _require_nothing(site)

    @pytest.mark.parametrize("attempt", [Site.bring, Site.try_out], ids=["import", "dry run"])
    async def test_an_old_bundle_is_told_and_refused_only_where_that_is_configured(
        self, site: Site, tmp_path: Path, attempt: Callable[[Site, Path], Awaitable[ImportResult]]
    ):
        created = datetime.now(UTC).replace(microsecond=0) - timedelta(days=40)
        path, _ = site.bundle(NAMES, CONTENTS, created=created)
        strict = Site(tmp_path, bundles={"max_age": "35d"})
        with pytest.raises(BundleUntrusted, match="refuses bundles older than 35 d"):
            await attempt(strict, path)
        await _require_nothing(strict)
        (warning,) = (await attempt(site, path)).warnings
        assert "the bundle is 40 d old" in warning

    async def test_a_manifest_with_a_wrong_size_is_refused_before_anything_is_written(self, site: Site):
        config, layer = BLOBS_1
        manifest = plugin(config, layer, layer_size_bytes=len(layer) + 1)
        path, _ = site.bundle({"acme/driver:1": manifest}, BLOBS_1)
        with pytest.raises(BundleInvalid, match=r"gives sha256:.* a size of"):
            await site.bring(path)
        await _require_nothing(site)


class TestDelta:
    async def test_everything_that_is_missing_is_named_before_anything_is_written(self, site: Site):
        lacking = [DRIVER_1.digest, *(Digest.of(blob) for blob in BLOBS_2)]
        path, _ = site.bundle(NAMES, CONTENTS, since=Since(serial=1), left_out=lacking)
        with pytest.raises(BundleIncomplete) as caught:
            await site.bring(path)
        for digest in lacking:
            assert str(digest) in str(caught.value)
        with pytest.raises(BundleIncomplete, match="nothing was changed"):
            await site.try_out(path)
        await _require_nothing(site)

    async def test_what_another_repository_holds_is_not_read_again(self, site: Site):
        first, _ = site.bundle({"acme/driver:1": DRIVER_1}, BLOBS_1)
        await site.bring(first, "acme/driver=here/driver")
        lacking = [DRIVER_1.digest, *(Digest.of(blob) for blob in BLOBS_1)]
        names = {"acme/other:1": DRIVER_1, "acme/other:2": DRIVER_2}
        second, _ = site.bundle(names, CONTENTS, serial=2, since=Since(serial=1), left_out=lacking)
        result = await site.bring(second)
        assert (await site.tags(*names)).keys() == names.keys()
        assert result.moved_bytes == len(BLOBS_2[0])


class TestNames:
    async def test_names_are_mapped(self, site: Site):
        path, _ = site.bundle({"store/acme/driver:1": DRIVER_1, "other/driver:2": DRIVER_2}, CONTENTS)
        await site.bring(path, "store/*/*=*/*")
        assert (await site.tags("acme/driver:1", "other/driver:2", "store/acme/driver:1")).keys() == {
            "acme/driver:1",
            "other/driver:2",
        }

    async def test_two_names_cannot_become_one(self, site: Site):
        path, _ = site.bundle({"a/driver:1": DRIVER_1, "b/driver:1": DRIVER_2}, CONTENTS)
        with pytest.raises(ConfigurationFault, match=r"a/driver:1 and b/driver:1 .* b/driver:1"):
            await site.bring(path, "a/driver=b/driver")

    async def test_a_mapping_that_covers_nothing_is_a_mistake(self, site: Site):
        path, _ = site.bundle(NAMES, CONTENTS)
        with pytest.raises(ConfigurationFault, match="no name of the bundle matches acne"):
            await site.bring(path, "acne/driver=b/driver")

    async def test_an_imported_tag_has_an_owner_and_a_history(self, site: Site):
        notes = Notes({"acme/driver:1": NameOrigin("registry-1.docker.io/acme/driver", LONG_AGO)})
        await site.bring(site.bundle({"acme/driver:1": DRIVER_1}, BLOBS_1, notes=notes)[0], "acme/*=here/*")
        notes = Notes({"acme/driver:1": NameOrigin("")})  # a client pushed it at the sender
        await site.bring(site.bundle({"acme/driver:1": DRIVER_2}, BLOBS_2, serial=2, notes=notes)[0], "acme/*=here/*")
        async with site.store() as store:
            here = Repository("here/driver")
            (row,) = (await store.records.sync_runs.mirrored(here)).values()
            history = await store.records.sync_runs.history(here, Tag("1"), 10)
            assert not (await store.records.sync_runs.other_tags(here)).pushed
            # Pull-through takes tags whose rule is gone. A bundle is no rule.
            assert await store.records.tag_owners.brought_here() == []
        assert (row.rule, row.upstream, row.source, row.digest) == (
            "bundle:test",
            "bundle:test",
            DRIVER,
            DRIVER_2.digest,
        )
        assert [(event.change, event.before, event.after, event.source) for event in history] == [
            (TagChange.MOVED, DRIVER_1.digest, DRIVER_2.digest, "bundle:test/acme/driver"),
            (
                TagChange.APPEARED,
                None,
                DRIVER_1.digest,
                "bundle:test/acme/driver, from registry-1.docker.io/acme/driver",
            ),
        ]

    async def test_a_pushed_tag_stays(self, site: Site):
        async with site.store() as store:
            pushed = await push_image(store, "pushed", "1", repository=DRIVER)
        result = await site.bring(site.bundle(NAMES, CONTENTS)[0])
        assert outcomes(result) == {"acme/driver:1": TagOutcome.SKIPPED, "acme/driver:2": TagOutcome.COPIED}
        assert "pushed here" in result.names[0].reason
        assert (await site.tags(*NAMES))["acme/driver:1"] == pushed.digest

    async def test_an_immutable_tag_stays(self, tmp_path: Path):
        site = Site(tmp_path, repositories=[{"pattern": "acme/**", "immutable": ["1"]}])
        await site.bring(site.bundle({"acme/driver:1": DRIVER_1}, BLOBS_1)[0])
        result = await site.bring(site.bundle({"acme/driver:1": DRIVER_2}, BLOBS_2, serial=2)[0])
        assert outcomes(result) == {"acme/driver:1": TagOutcome.SKIPPED}
        assert result.names[0].reason.startswith(f"the tag is immutable here, as {DRIVER_1.digest}")
        assert (await site.tags("acme/driver:1"))["acme/driver:1"] == DRIVER_1.digest

    async def test_a_tag_that_is_pushed_during_the_import_stays(self, site: Site, monkeypatch: pytest.MonkeyPatch):
        async def push() -> None:
            async with site.store() as store:
                await push_image(store, "pushed", "1", repository=DRIVER)

        _before_the_end(monkeypatch, push)
        result = await site.bring(site.bundle(NAMES, CONTENTS)[0])
        assert outcomes(result) == {"acme/driver:1": TagOutcome.SKIPPED, "acme/driver:2": TagOutcome.COPIED}
        assert "during the import" in result.names[0].reason
        assert (await site.tags(*NAMES))["acme/driver:1"] != DRIVER_1.digest

    async def test_a_tag_that_a_rule_moves_during_the_import_stays(self, site: Site, monkeypatch: pytest.MonkeyPatch):
        async def bring_by_a_rule() -> None:
            async with site.store() as store:
                with working_for("contiv"):
                    await push_image(store, "another", "1", repository=DRIVER)

        _before_the_end(monkeypatch, bring_by_a_rule)
        result = await site.bring(site.bundle(NAMES, CONTENTS)[0])
        assert outcomes(result) == {"acme/driver:1": TagOutcome.SKIPPED, "acme/driver:2": TagOutcome.COPIED}
        assert (await site.tags(*NAMES))["acme/driver:1"] != DRIVER_1.digest

    async def test_a_plugin_that_is_deleted_during_the_import_moves_no_tag(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ):
        async def delete() -> None:
            async with site.store() as store:
                await store.delete_manifest(DRIVER, DRIVER_2.digest)

        path, _ = site.bundle(NAMES, CONTENTS)
        _before_the_end(monkeypatch, delete)
        with pytest.raises(ManifestUnknown, match="run the import again"):
            await site.bring(path)
        assert await site.tags(*NAMES) == {}
        await site.bring(path)
        assert (await site.tags(*NAMES)).keys() == NAMES.keys()

    async def test_another_stream_takes_a_tag_over(self, site: Site):
        await site.bring(site.bundle({"acme/driver:1": DRIVER_1}, BLOBS_1)[0])
        result = await site.bring(site.bundle({"acme/driver:1": DRIVER_2}, BLOBS_2, stream="other")[0])
        assert result.names[0].reason == "taken over; it was brought from bundle:test/acme/driver"
        async with site.store() as store:
            (event, _) = await store.records.sync_runs.history(DRIVER, Tag("1"), 10)
        assert event.change is TagChange.TAKEN_OVER

    async def test_a_tag_of_pull_through_is_taken_over(self, site: Site):
        async with site.store() as store:
            with working_for("pull-through"):
                pulled = await push_image(store, "pulled", repository=DRIVER)
            origin = Origin("hub", DRIVER, pulled.digest, LONG_AGO, LONG_AGO)
            await store.records.incomplete.keep_incomplete(DRIVER, pulled, origin, Tag("1"))
            assert await store.records.origins.origin(DRIVER, Tag("1")) == origin
        result = await site.bring(site.bundle({"acme/driver:1": DRIVER_1}, BLOBS_1)[0])
        assert outcomes(result) == {"acme/driver:1": TagOutcome.COPIED}
        assert await site.tags("acme/driver:1") == {"acme/driver:1": DRIVER_1.digest}
        async with site.store() as store:
            assert await store.records.origins.origin(DRIVER, Tag("1")) is None

    async def test_a_rule_does_not_follow_a_stream_with_the_name_of_its_upstream(self, site: Site):
        await site.bring(site.bundle({"acme/driver:1": DRIVER_1}, BLOBS_1)[0])
        rule = MirrorRule("all", "test", (NameMapping("acme/*", "acme/*"),))
        async with site.store() as store:
            rows = await store.records.sync_runs.mirrored(DRIVER)
        # Otherwise it would delete the tag, as one that is gone upstream.
        assert RuleOrder.of([rule], rule, DRIVER, DRIVER).own_rows(rows) == {}

    async def test_a_tag_of_a_mirror_rule_stays_and_the_others_come(self, site: Site):
        rules = Site(
            site.folder,
            upstreams={"test": {"url": "https://registry.example"}},
            mirrors=[{"name": "all", "from": "test/acme/driver", "to": "acme/driver", "tags": {"include": ["1"]}}],
        )
        await site.bring(site.bundle({"acme/driver:1": DRIVER_1}, BLOBS_1)[0])
        await _rename_owner(site, "all", "test")
        result = await rules.bring(rules.bundle({**NAMES, "acme/driver:1": DRIVER_2}, CONTENTS, stream="other")[0])
        assert outcomes(result) == {"acme/driver:1": TagOutcome.FAILED, "acme/driver:2": TagOutcome.COPIED}
        (error,) = result.errors
        assert isinstance(error, TagConflict)
        assert "rule all" in str(error)
        assert (await site.tags("acme/driver:1"))["acme/driver:1"] == DRIVER_1.digest


class TestDryRun:
    async def test_it_tells_and_changes_nothing(self, site: Site):
        path, _ = site.bundle(NAMES, CONTENTS)
        result = await site.try_out(path)
        assert not site.data.exists()
        assert outcomes(result) == dict.fromkeys(NAMES, TagOutcome.COPIED)
        assert result.moved_bytes == (await site.bring(path)).moved_bytes
        assert outcomes(await site.try_out(path)) == dict.fromkeys(NAMES, TagOutcome.UNCHANGED)

    async def test_it_tells_that_the_policy_was_not_asked(self, site: Site):
        strict = Site(site.folder, admission={"default": "hold"})
        path, _ = strict.bundle({"acme/driver:1": DRIVER_1}, BLOBS_1)
        (warning,) = (await strict.try_out(path)).warnings
        assert "judged by the admission policy when they are imported" in warning
        assert not (await site.try_out(path)).warnings  # no policy
        await strict.bring(path)
        assert not (await strict.try_out(path)).warnings  # nothing comes

    async def test_it_refuses_like_an_import(self, site: Site):
        path, _ = site.bundle(NAMES, CONTENTS, keys=(OTHER_KEY,))
        with pytest.raises(BundleUntrusted):
            await site.try_out(path)


class TestParts:
    async def test_the_drives_come_one_after_the_other_in_any_order(self, site: Site):
        plugins = [large(number) for number in range(4)]
        names = {f"acme/driver:{number}": manifest for number, (manifest, _) in enumerate(plugins)}
        path, built = site.bundle(names, [blob for _, blobs in plugins for blob in blobs])
        table = await _split(site, path, part_bytes=100 * 1024)
        drives = _to_drives(site, table)
        assert len(drives) == 3
        for drive in (drives[0], drives[2]):
            with pytest.raises(BundleIncomplete, match=r"part 2 of 3 .*no tag was moved yet"):
                await site.bring(drive / table.name)
            assert await site.tags(*names) == {}
        result = await site.bring(drives[1] / table.name)
        assert (await site.tags(*names)).keys() == names.keys()
        assert not list((site.data / "bundles").iterdir())
        assert result.moved_bytes < built.layout.size_bytes / 2

    async def test_a_collection_between_two_drives_removes_nothing(self, site: Site):
        plugins = [large(number) for number in range(4)]
        names = {f"acme/driver:{number}": manifest for number, (manifest, _) in enumerate(plugins)}
        path, built = site.bundle(names, [blob for _, blobs in plugins for blob in blobs])
        table = await _split(site, path, part_bytes=100 * 1024)
        first, *others = _to_drives(site, table)
        with pytest.raises(BundleIncomplete):
            await site.bring(first / table.name)
        collected = await collect(site.settings, grace=timedelta(0))
        assert (collected.decided.removed, collected.freed.files) == (0, 0)
        with pytest.raises(BundleIncomplete):
            await site.bring(others[0] / table.name)
        result = await site.bring(others[1] / table.name)
        assert (await site.tags(*names)).keys() == names.keys()
        assert result.moved_bytes < built.layout.size_bytes / 2

    async def test_a_drive_without_the_first_part_cannot_be_the_first(self, site: Site):
        path, _ = site.bundle(NAMES, CONTENTS)
        table = await _split(site, path, part_bytes=8 * 1024)
        drives = _to_drives(site, table)
        with pytest.raises(BundleIncomplete, match="part 1 of"):
            await site.bring(drives[1] / table.name)


async def test_two_imports_of_one_bundle_at_a_time_do_the_work_of_one(site: Site):
    path, _ = site.bundle(NAMES, CONTENTS)
    results = await asyncio.gather(site.bring(path), site.bring(path))
    assert (await site.tags(*NAMES)).keys() == NAMES.keys()
    assert sum(result.moved_bytes for result in results) == len(b"".join(dict.fromkeys(CONTENTS)))
    async with site.store() as store:
        assert len(await store.records.sync_runs.history(DRIVER, Tag("1"), 10)) == 1


async def test_a_cancelled_import_goes_on(site: Site):
    plugins = [large(number) for number in range(4)]
    names = {f"acme/driver:{number}": manifest for number, (manifest, _) in enumerate(plugins)}
    path, built = site.bundle(names, [blob for _, blobs in plugins for blob in blobs])

    class Stopping(SilentProgress):
        moved_bytes = 0
        task: asyncio.Task[object]

        def advance(self, size_bytes: int) -> None:
            self.moved_bytes += size_bytes
            if self.moved_bytes > built.layout.size_bytes / 8 and not self.task.cancelling():
                self.task.cancel()

    progress = Stopping()
    progress.task = asyncio.create_task(site.bring(path, progress=progress))
    with pytest.raises(asyncio.CancelledError):
        await progress.task
    assert await site.tags(*names) == {}
    result = await site.bring(path)
    assert (await site.tags(*names)).keys() == names.keys()
    assert 0 < result.moved_bytes < built.layout.size_bytes


def _before_the_end(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Awaitable[object]]) -> None:
    """Do some work just before the next import writes its end."""
    original = SqlBundleImports.finish_import

    async def finish(self: SqlBundleImports, *given: Any) -> Sequence[MirroredTag]:
        monkeypatch.setattr(SqlBundleImports, "finish_import", original)
        await work()
        return await original(self, *given)

    monkeypatch.setattr(SqlBundleImports, "finish_import", finish)


async def _split(site: Site, path: Path, part_bytes: int) -> Path:
    table, _ = await split_bundle(
        await FileSource.open(path), path.name, site.folder / "parts", part_bytes, SilentProgress()
    )
    path.unlink()
    return table


def _to_drives(site: Site, table: Path) -> list[Path]:
    """Move each part to a drive of its own, with a copy of the table."""
    drives = []
    for part in sorted(table.parent.glob("*.part-*")):
        drives.append(site.folder / f"drive-{len(drives) + 1}")
        drives[-1].mkdir()
        part.rename(drives[-1] / part.name)
        (drives[-1] / table.name).write_bytes(table.read_bytes())
    return drives


async def _rename_owner(site: Site, rule: str, upstream: str) -> None:
    async with site.store() as store:
        runs = store.records.sync_runs
        run = await runs.begin_run(rule)
        (row,) = (await runs.mirrored(DRIVER)).values()
        await runs.record(run, [RunStep(mirrored=replace(row, rule=rule, upstream=upstream))])


async def _require_nothing(site: Site) -> None:
    async with site.store() as store:
        assert (await store.list_repositories(PageRequest())).entries == ()
        assert await store.records.bundle_trust.list_streams() == []


def _described(content: bytes) -> dict[str, object]:
    return {"mediaType": "application/vnd.oci.empty.v1+json", "digest": str(Digest.of(content)), "size": len(content)}
