"""A data folder of an earlier version: decisions of people and policies are kept, and plugins are indexed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import structlog

from mirror.filters.admission.plugin_fingerprints import Fingerprints
from mirror.oci import Digest, Repository, Tag
from mirror.plugin.policy import fingerprint
from mirror.records.admission.admissions import AdmissionState
from mirror.store import backfill
from mirror.store.records.admission import sql_decisions
from mirror.store.registry import Store

DRIVER, IMAGE, PULLED = Repository("acme/driver"), Repository("acme/image"), Repository("pulled/driver")


async def digest_of(store: Store, tag: str) -> Digest:
    return (await store.resolve(DRIVER, Tag(tag))).digest


async def test_what_was_said_and_decided_is_kept(old_folder: Path) -> None:
    async with Store.open(old_folder) as store:
        standing = {str(tag): one.state for one in await store.records.admissions.admissions() for tag in one.tags}
        assert standing == {
            state: AdmissionState(state) for state in ("admitted", "approved", "denied", "held", "rejected")
        }
        known = await store.records.verdicts.admission(DRIVER, await digest_of(store, "rejected"), "a policy")
        assert known is not None
        assert known.rejection is not None
        assert (known.rejection.decision.by, known.rejection.decision.note) == ("bob", "wants too much")
        # No policy has judged the plugin yet, so the verdict belongs to the first policy that asks.
        assert (known.policy, known.asked) == ("", (("network", "host"),))
        never = await store.records.verdicts.admission(DRIVER, Digest.of(b"never came"))
        assert never is not None
        assert never.state is AdmissionState.REJECTED
        assert await store.records.findings.recorded_findings(await digest_of(store, "held"))
        assert await store.records.users.find_user("alice") is not None
        assert len((await store.get_manifest(IMAGE, Tag("latest"))).manifests) == 2


async def test_an_old_rejection_covers_the_content_from_now_on(old_folder: Path) -> None:
    async with Store.open(old_folder) as store:
        manifest = await store.get_manifest(DRIVER, Tag("rejected"))
        texts = await Fingerprints().of(store, DRIVER, manifest)
        assert any(map(fingerprint.is_content_fingerprint, texts))
        for text in texts:
            known = await store.records.verdicts.admission(
                Repository("other/name"), Digest.of(b"other bytes"), None, [text]
            )
            assert known is not None, text
            assert known.state is AdmissionState.REJECTED


async def test_every_plugin_is_in_the_index_and_nothing_else(old_folder: Path) -> None:
    async with Store.open(old_folder) as store:
        for tag in ("admitted", "approved", "denied", "held", "rejected", "unjudged"):
            manifest = await store.get_manifest(DRIVER, Tag(tag))
            for blob in manifest.blobs:
                assert await store.records.plugins.plugins_naming(DRIVER, blob.digest, 9, 10_000) == [manifest.digest]
        assert not await store.records.plugins.holds_plugins(IMAGE)
        (coming,) = await store.records.plugins.plugins_naming(PULLED, Digest.of(b"not here yet"), 9, 10_000)
        assert await store.records.plugins.plugin(PULLED, coming) is not None
        before = await store.records.plugins.plugins_before(DRIVER, await digest_of(store, "held"), 9)
        assert before == [await digest_of(store, "denied"), await digest_of(store, "admitted")]


async def test_it_is_done_once_in_steps_with_one_line_in_the_log(
    old_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "_IN_A_STEP", 1)
    monkeypatch.setattr(backfill, "_NEXT", backfill._NEXT.limit(1))
    with structlog.testing.capture_logs() as lines:
        async with Store.open(old_folder) as store:
            assert await store.records.plugins.holds_plugins(DRIVER)
            changes = store.records.verdicts.admission_generation
        async with Store.open(old_folder) as store:
            assert store.records.verdicts.admission_generation is not None
            assert changes is not None
            assert (
                store.records.verdicts.admission_generation - changes == 2
            )  # includes the check for pending migrations
    (line,) = [one for one in lines if one["event"] == "manifest index built for an earlier data folder"]
    assert (line["manifests"], line["plugins"], line["rejected"], line["damaged"]) == (10, 7, 2, 0)


async def test_what_is_interrupted_is_done_again(old_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("power is gone")

    with monkeypatch.context() as patched:
        patched.setattr(sql_decisions, "cover", fail)
        with pytest.raises(RuntimeError, match="power is gone"):
            async with Store.open(old_folder):
                pass
    async with Store.open(old_folder) as store:
        manifest = await store.get_manifest(DRIVER, Tag("rejected"))
        (*_, content) = await Fingerprints().of(store, DRIVER, manifest)
        known = await store.records.verdicts.admission(DRIVER, Digest.of(b"x"), None, [content])
        assert known is not None
        assert known.state is AdmissionState.REJECTED


async def test_a_damaged_manifest_is_left_out_and_told_of(old_folder: Path) -> None:
    async with Store.open(old_folder) as store:
        digest = await digest_of(store, "admitted")
    shutil.rmtree(old_folder)
    with structlog.testing.capture_logs() as lines:
        old = Path(__file__).parent / "folders" / "revision-0007.tar.gz"
        shutil.unpack_archive(old, old_folder, filter="fully_trusted")
        (old_folder / "blobs/sha256" / digest.hex[:2] / digest.hex).write_bytes(b"damaged")
        async with Store.open(old_folder) as store:
            assert await store.records.plugins.holds_plugins(DRIVER)
    (line,) = [one for one in lines if one["event"] == "manifest index built for an earlier data folder"]
    assert (line["plugins"], line["damaged"]) == (6, 1)


async def test_a_new_folder_has_nothing_to_catch_up_with(folder: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        async with Store.open(folder):
            pass
    # Stores of tests may begin with the tables of an earlier one.
    assert {line["event"] for line in lines} <= {"data folder created"}
