"""Approvals and rejections of plugins by administrators."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mirror.admission.approvals import Approvals
from mirror.admission.held_manifests import HeldManifests
from mirror.filters.admission.admission_controller import AdmissionController
from mirror.oci import Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import ClientFault, Denied, ManifestUnknown
from mirror.records.admission.admissions import AdmissionState
from mirror.records.admission.verdicts import AdmissionRecords
from mirror.records.origins import Origin
from mirror.runtime.clock import SystemClock
from mirror.store.registry import Store
from tests.support.builders import push_image

HERE, TAG, ABSENT = Repository("acme/driver"), Tag("1.0"), Digest.of(b"absent")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "data") as opened:
        yield opened


def approvals(store: Store) -> Approvals:
    records = store.records
    known = AdmissionRecords(records.verdicts, records.decisions, records.plugins, records.arrivals)
    judge = AdmissionController(None, known, SystemClock(), lambda _action: None)
    held = HeldManifests(store, records.origins, records.incomplete, records.plugins.plugin_anywhere)
    return Approvals(held, records.decisions, records.verdicts, judge, SystemClock())


async def decided(store: Store, target: Tag | Digest, **said: Any) -> list[tuple[Digest, AdmissionState]]:
    said = {"approved": True, "by": "alice", "note": "", **said}
    return [(one.digest, one.state) for one in await approvals(store).decide(HERE, target, **said)]


async def test_a_tag_is_approved_as_what_somebody_has_looked_at(store: Store) -> None:
    held = await push_image(store, "a plugin", "1.0", repository=HERE)
    with pytest.raises(ClientFault, match="name the digest"):
        await decided(store, TAG)
    with pytest.raises(ClientFault, match=f"points to {held.digest}, not to {ABSENT}"):
        await decided(store, TAG, expected=ABSENT)
    assert await store.records.admissions.admissions() == []
    assert await decided(store, TAG, expected=held.digest) == [(held.digest, AdmissionState.APPROVED)]
    assert await decided(store, TAG, approved=False) == [(held.digest, AdmissionState.REJECTED)]


async def test_what_was_rejected_is_not_approved_by_the_way(store: Store) -> None:
    held = await push_image(store, "a plugin", "1.0", repository=HERE)
    await decided(store, TAG, approved=False, note="no")
    sha512 = Digest.of(held.content, "sha512")
    for digest in (held.digest, sha512):
        with pytest.raises(Denied, match=r"was rejected as acme/driver@sha256:\S+ by alice on \S+ \(no\);.*--overrule"):
            await decided(store, digest)
    assert await decided(store, sha512, overrule=True) == [(sha512, AdmissionState.APPROVED)]
    assert await store.records.verdicts.admission(HERE, held.digest) is None


async def test_what_is_held_under_another_name_is_known_by_it(store: Store) -> None:
    elsewhere = Repository("acme/other")
    held = await push_image(store, "a plugin", "1.0", repository=elsewhere)
    await decided(store, held.digest, approved=False)
    known = await store.records.verdicts.admission(elsewhere, ABSENT, None, [str(Digest.of(held.content, "sha512"))])
    assert known is not None
    assert known.state is AdmissionState.REJECTED


async def test_an_index_stands_for_its_members(store: Store) -> None:
    members = [await push_image(store, name, name, repository=HERE) for name in ("amd64", "arm64")]
    body = {"schemaVersion": 2, "manifests": [member.descriptor.to_json() for member in members]}
    index = Manifest.parse(json.dumps(body).encode(), media_types.OCI_INDEX)
    await store.put_manifest(HERE, index, [TAG])
    assert await decided(store, TAG, expected=index.digest) == [
        (member.digest, AdmissionState.APPROVED) for member in members
    ]


async def test_a_digest_need_not_be_here(store: Store) -> None:
    assert await decided(store, ABSENT) == [(ABSENT, AdmissionState.APPROVED)]
    with pytest.raises(ManifestUnknown, match=r"acme/driver has no tag 1\.0 here; fix: name a digest"):
        await decided(store, TAG, expected=ABSENT)


async def test_what_is_being_pulled_through_can_be_decided_about(store: Store) -> None:
    body = {
        "schemaVersion": 2,
        "config": {"mediaType": media_types.DOCKER_PLUGIN_CONFIG, "size": 2, "digest": str(Digest.of(b"{}"))},
        "layers": [],
    }
    coming = Manifest.parse(json.dumps(body).encode(), media_types.DOCKER_MANIFEST)
    now = datetime.now(UTC)
    await store.records.incomplete.keep_incomplete(HERE, coming, Origin("hub", HERE, coming.digest, now, now), TAG)
    assert await decided(store, TAG, expected=coming.digest) == [(coming.digest, AdmissionState.APPROVED)]


async def test_a_tag_that_has_moved_upstream_is_what_hosts_are_given_by_it(store: Store) -> None:
    before = await push_image(store, "before", repository=HERE)
    body = {
        "schemaVersion": 2,
        "config": {"mediaType": media_types.DOCKER_PLUGIN_CONFIG, "size": 2, "digest": str(Digest.of(b"{}"))},
        "layers": [],
    }
    moved = Manifest.parse(json.dumps(body).encode(), media_types.DOCKER_MANIFEST)
    now = datetime.now(UTC)
    await store.records.incomplete.keep_incomplete(HERE, before, Origin("hub", HERE, before.digest, now, now), TAG)
    assert (await store.get_manifest(HERE, TAG)).digest == before.digest
    await store.records.incomplete.keep_incomplete(HERE, moved, Origin("hub", HERE, moved.digest, now, now), TAG)
    with pytest.raises(ClientFault, match=f"points to {moved.digest}"):
        await decided(store, TAG, expected=before.digest)
    assert await decided(store, TAG, approved=False) == [(moved.digest, AdmissionState.REJECTED)]
    assert await store.records.verdicts.admission(HERE, before.digest) is None
    (listed,) = await store.records.admissions.admissions()
    assert (listed.digest, listed.tags) == (moved.digest, (TAG,))


@pytest.mark.parametrize("said", [{"by": ""}, {"by": " "}, {"by": "a\nb"}, {"note": "\x1b[2J"}, {"note": "x" * 256}])
async def test_who_decides_is_named_in_one_line(store: Store, said: dict[str, str]) -> None:
    with pytest.raises(ClientFault, match="must name who decides"):
        await decided(store, ABSENT, **said)
