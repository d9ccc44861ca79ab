"""``/api/v1/admission``: decisions over HTTP, the name of the person who decides, and the report."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from mirror.access.rights import AccessAction
from mirror.app.services import Services
from mirror.filters.authorize import AnonymousRights
from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import ClientFault, ConfigurationFault, Denied, DigestInvalid, NameInvalid
from mirror.server.api.admin_actions import AdminAction
from mirror.server.api.admission_actions import admission_actions
from mirror.server.api.admission_report import AdmissionReport
from mirror.server.api.approval_token import ApprovalToken
from mirror.server.api.operators import Operator
from mirror.settings import load
from mirror.store.records.admission.sql_admissions import SqlAdmissions
from mirror.store.registry import Store
from tests.support.builders import push_image

HERE, TAG, ABSENT = Repository("acme/driver"), Tag("1.0"), Digest.of(b"absent")
WORD = "0123456789abcdef"
#: Nobody in particular, who may decide everywhere.
SOMEBODY = Operator(None, AnonymousRights(frozenset({AccessAction.APPROVE})))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "data") as opened:
        yield opened


def actions(store: Store) -> dict[str, AdminAction]:
    return admission_actions(Services(load(), store, AsyncExitStack()).approvals.decide)


@pytest.mark.parametrize(("content", "problem"), [(None, "cannot be read"), (b"short\n", "fewer than 16 characters")])
async def test_a_word_that_keeps_nobody_out_is_refused(tmp_path: Path, content: bytes | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "word").write_bytes(content)
    with pytest.raises(ConfigurationFault, match=problem):
        ApprovalToken(tmp_path / "word")


async def test_only_the_word_lets_somebody_decide(tmp_path: Path) -> None:
    (tmp_path / "word").write_text(f"{WORD}\n")
    require = ApprovalToken(tmp_path / "word").require
    await require(WORD)
    for said in (None, "", WORD[:-1], WORD + "x", "\u00e9", "\udcff"):
        with pytest.raises(Denied, match=r"Authorization: Bearer TOKEN"):
            await require(said)
    (tmp_path / "word").write_text("another word of some length")
    with pytest.raises(Denied):
        await require(WORD)


async def test_what_is_sent_is_decided(store: Store) -> None:
    given = actions(store)
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
    given = actions(store)
    held = await push_image(store, "a plugin", "1.0", repository=HERE)
    sent = {"reference": f"{HERE}:{TAG}", "by": "alice"}
    for more in ({}, {"digest": str(ABSENT)}):
        with pytest.raises(ClientFault, match=r"name the digest|points to"):
            await given["admission/approve"].do(SOMEBODY, {**sent, **more})
    answer = json.loads(json.dumps(await given["admission/approve"].do(SOMEBODY, {**sent, "digest": str(held.digest)})))
    assert answer["admissions"][0]["state"] == "approved"
    with pytest.raises(ClientFault, match=r"the body must be an object with: reference \(a string\), by"):
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
    given = actions(store)
    with pytest.raises(error):
        await given["admission/approve"].do(SOMEBODY, sent)
    assert await store.records.admissions.admissions() == []


async def test_the_report_is_made_once_until_the_catalog_changes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    held = await push_image(store, "a plugin", "1.0", repository=HERE)
    made = 0
    admissions = SqlAdmissions.admissions

    async def counted(self: SqlAdmissions, *of: Any, **which: Any) -> Any:
        nonlocal made
        made += 1
        return await admissions(self, *of, **which)

    monkeypatch.setattr(SqlAdmissions, "admissions", counted)
    report = AdmissionReport(store.records.verdicts, store.records.admissions.admissions)
    for number in (1, 2):
        found = [json.loads(body)["admissions"] for body in await asyncio.gather(*[report.give() for _ in range(16)])]
        assert found == [[one.to_json() for one in await admissions(store.records.admissions)]] * 16
        assert (made, len(found[0])) == (number, number - 1)
        assert json.loads(await report.give()) == {"admissions": found[0]}
        assert made == number
        sent = {"reference": f"{HERE}@{held.digest}", "by": "alice"}
        await actions(store)["admission/approve"].do(SOMEBODY, sent)
