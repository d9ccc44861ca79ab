"""What people decide about plugins: by the command line and by HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mirror.app.admission import AdmissionReport, acts, may_decide, word
from mirror.app.deciding import decide_in
from mirror.app.stores import judging
from mirror.filters.authorize import AnonymousRights
from mirror.filters.layer_reading import LayerReading
from mirror.oci import media_types
from mirror.oci.digest import Digest
from mirror.oci.errors import ClientFault, ConfigurationFault, Denied, DigestInvalid, ManifestUnknown, NameInvalid
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository, Tag
from mirror.plugin.layer_limits import DEFAULT_LIMITS
from mirror.registry.admissions import State
from mirror.registry.origins import Origin
from mirror.registry.rights import Action
from mirror.server.operators import Operator
from mirror.settings import load
from mirror.store.records.sql_admissions import SqlAdmissions
from mirror.store.registry import Store
from tests.contract.contents import push_image

HERE, TAG, ABSENT = Repository("acme/driver"), Tag("1.0"), Digest.of(b"absent")
WORD = "0123456789abcdef"
#: Nobody in particular, who may decide everywhere.
SOMEBODY = Operator(None, AnonymousRights(frozenset({Action.APPROVE})))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "data") as opened:
        yield opened


async def decided(store: Store, target: Tag | Digest, **said: Any) -> list[tuple[Digest, State]]:
    said = {"approved": True, "by": "alice", "note": "", **said}
    return [(one.digest, one.state) for one in await decide_in(store, HERE, target, judging(store), **said)]


async def test_a_tag_is_approved_as_what_somebody_has_looked_at(store: Store) -> None:
    held = await push_image(store, "a plugin", "1.0", repository=HERE)
    with pytest.raises(ClientFault, match="name the digest"):
        await decided(store, TAG)
    with pytest.raises(ClientFault, match=f"points to {held.digest}, and not to {ABSENT}"):
        await decided(store, TAG, expected=ABSENT)
    assert await store.records.admissions.admissions() == []
    assert await decided(store, TAG, expected=held.digest) == [(held.digest, State.APPROVED)]
    assert await decided(store, TAG, approved=False) == [(held.digest, State.REJECTED)]


async def test_what_was_rejected_is_not_approved_by_the_way(store: Store) -> None:
    held = await push_image(store, "a plugin", "1.0", repository=HERE)
    await decided(store, TAG, approved=False, note="no")
    sha512 = Digest.of(held.content, "sha512")
    for digest in (held.digest, sha512):
        with pytest.raises(Denied, match=r"was rejected as acme/driver@sha256:\S+ by alice on \S+ \(no\);.*--overrule"):
            await decided(store, digest)
    assert await decided(store, sha512, overrule=True) == [(sha512, State.APPROVED)]
    assert await store.records.verdicts.admission(HERE, held.digest) is None


async def test_what_is_held_under_another_name_is_known_by_it(store: Store) -> None:
    elsewhere = Repository("acme/other")
    held = await push_image(store, "a plugin", "1.0", repository=elsewhere)
    await decided(store, held.digest, approved=False)
    known = await store.records.verdicts.admission(elsewhere, ABSENT, None, [str(Digest.of(held.content, "sha512"))])
    assert known is not None
    assert known.state is State.REJECTED


async def test_an_index_stands_for_its_members(store: Store) -> None:
    members = [await push_image(store, name, name, repository=HERE) for name in ("amd64", "arm64")]
    body = {"schemaVersion": 2, "manifests": [member.descriptor.to_json() for member in members]}
    index = Manifest.parse(json.dumps(body).encode(), media_types.OCI_INDEX)
    await store.put_manifest(HERE, index, [TAG])
    assert await decided(store, TAG, expected=index.digest) == [(member.digest, State.APPROVED) for member in members]


async def test_a_digest_need_not_be_here(store: Store) -> None:
    assert await decided(store, ABSENT) == [(ABSENT, State.APPROVED)]
    with pytest.raises(ManifestUnknown, match=r"no tag 1\.0 of acme/driver is here: name a digest"):
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
    assert await decided(store, TAG, expected=coming.digest) == [(coming.digest, State.APPROVED)]


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
    assert await decided(store, TAG, approved=False) == [(moved.digest, State.REJECTED)]
    assert await store.records.verdicts.admission(HERE, before.digest) is None
    (listed,) = await store.records.admissions.admissions()
    assert (listed.digest, listed.tags) == (moved.digest, (TAG,))


@pytest.mark.parametrize("said", [{"by": ""}, {"by": " "}, {"by": "a\nb"}, {"note": "\x1b[2J"}, {"note": "x" * 256}])
async def test_who_decides_is_named_in_one_line(store: Store, said: dict[str, str]) -> None:
    with pytest.raises(ClientFault, match="who decides must be named"):
        await decided(store, ABSENT, **said)


@pytest.mark.parametrize(("content", "problem"), [(None, "cannot be read"), (b"short\n", "fewer than 16 characters")])
async def test_a_word_that_keeps_nobody_out_is_refused(tmp_path: Path, content: bytes | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "word").write_bytes(content)
    with pytest.raises(ConfigurationFault, match=problem):
        word(load(flags={"admission": {"token_file": str(tmp_path / "word")}}))


async def test_only_the_word_lets_somebody_decide(tmp_path: Path) -> None:
    (tmp_path / "word").write_text(f"{WORD}\n")
    require = may_decide(tmp_path / "word")
    await require(WORD)
    for said in (None, "", WORD[:-1], WORD + "x", "\u00e9", "\udcff"):
        with pytest.raises(Denied, match=r"Authorization: Bearer WORD"):
            await require(said)
    (tmp_path / "word").write_text("another word of some length")
    with pytest.raises(Denied):
        await require(WORD)


async def test_what_is_sent_is_decided(store: Store) -> None:
    given = acts(load(), store, LayerReading(DEFAULT_LIMITS))
    sent = {"reference": f"{HERE}@{ABSENT}", "by": "alice", "note": "ticket 1"}
    answer = json.loads(json.dumps(await given["admission/approve"].do(SOMEBODY, sent)))
    (one,) = answer["admissions"]
    assert (one["name"], one["digest"], one["state"], one["decided_by"], one["note"]) == (
        "acme/driver",
        str(ABSENT),
        "approved",
        "alice",
        "ticket 1",
    )
    answer = json.loads(json.dumps(await given["admission/reject"].do(SOMEBODY, sent)))
    assert answer["admissions"][0]["state"] == "rejected"
    with pytest.raises(Denied, match="--overrule"):
        await given["admission/approve"].do(SOMEBODY, sent)
    answer = json.loads(json.dumps(await given["admission/approve"].do(SOMEBODY, {**sent, "overrule": True})))
    assert answer["admissions"][0]["state"] == "approved"


async def test_a_tag_needs_its_digest_over_http_too(store: Store) -> None:
    given = acts(load(), store, LayerReading(DEFAULT_LIMITS))
    held = await push_image(store, "a plugin", "1.0", repository=HERE)
    sent = {"reference": f"{HERE}:{TAG}", "by": "alice"}
    for more in ({}, {"digest": str(ABSENT)}):
        with pytest.raises(ClientFault, match=r"name the digest|points to"):
            await given["admission/approve"].do(SOMEBODY, {**sent, **more})
    answer = json.loads(json.dumps(await given["admission/approve"].do(SOMEBODY, {**sent, "digest": str(held.digest)})))
    assert answer["admissions"][0]["state"] == "approved"
    with pytest.raises(ClientFault, match=r"the body is an object with: reference \(a string\), by"):
        await given["admission/reject"].do(SOMEBODY, {**sent, "overrule": True})


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ({}, NameInvalid),
        ({"reference": "acme/driver:1", "by": 5}, ClientFault),
        ({"reference": "acme/driver:1", "by": "alice", "why": "x"}, ClientFault),
        ({"reference": "host:5000/acme/driver:1", "by": "alice"}, ClientFault),
        ({"reference": f"acme/driver@{ABSENT}"}, ClientFault),
        ({"reference": f"acme/driver@{ABSENT}", "by": "alice", "overrule": "true"}, ClientFault),
        ({"reference": f"acme/driver@{ABSENT}", "by": "alice", "digest": "sha256:1"}, DigestInvalid),
    ],
)
async def test_what_is_sent_wrongly_decides_nothing(store: Store, sent: dict[str, Any], error: type[Exception]) -> None:
    given = acts(load(), store, LayerReading(DEFAULT_LIMITS))
    with pytest.raises(error):
        await given["admission/approve"].do(SOMEBODY, sent)
    assert await store.records.admissions.admissions() == []


async def test_the_report_is_made_once_until_the_catalog_changes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    held = await push_image(store, "a plugin", "1.0", repository=HERE)
    report = AdmissionReport(load(), store)
    made = 0
    admissions = SqlAdmissions.admissions

    async def counted(self: SqlAdmissions, *of: Any, **which: Any) -> Any:
        nonlocal made
        made += 1
        return await admissions(self, *of, **which)

    monkeypatch.setattr(SqlAdmissions, "admissions", counted)
    for number in (1, 2):
        found = [json.loads(body)["admissions"] for body in await asyncio.gather(*[report.give() for _ in range(16)])]
        assert found == [[one.to_json() for one in await admissions(store.records.admissions)]] * 16
        assert (made, len(found[0])) == (number, number - 1)
        assert json.loads(await report.give()) == {"admissions": found[0]}
        assert made == number
        await decided(store, held.digest)
