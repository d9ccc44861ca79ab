"""Rights to see hosts and to decide about plugins: the table of ``docs/ACCESS.md``, over HTTP."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import RawTestServer, TestClient

from mirror.access.login_metrics import LOGINS
from mirror.access.passwords import hashed
from mirror.access.user_accounts import create_token
from mirror.app.access_control import authenticating, operators
from mirror.app.services import Services
from mirror.oci import Digest, Repository
from mirror.records.users import User
from mirror.registry.memory import MemoryRegistry
from mirror.runtime.metrics.shared_metrics import SharedMetrics
from mirror.server.api.admission_actions import admission_actions
from mirror.server.http_application import build
from mirror.settings import load
from mirror.store.registry import Store
from mirror.wire.auth.challenges import parse as parse_challenges
from tests.support.builders import push_image

WORD, PASSWORD = "0123456789abcdef", "the pass:word"
DIGEST = Digest.of(b"a plugin")
LOOPBACK, NETWORK = {"listen": "127.0.0.1:5000"}, {"listen": "0.0.0.0:5000", "anonymous": ["pull", "push"]}
RULES = [
    {"users": ["anna"], "repositories": ["acme/**"], "actions": ["pull", "push", "approve"]},
    {"users": ["root"], "repositories": ["**"], "actions": ["operate", "approve"]},
    {"users": ["watch"], "repositories": ["**"], "actions": ["operate"]},
    {"users": ["bob"], "repositories": ["**"], "actions": ["pull", "push", "delete"]},
]


def basic(user: str, password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}


@cache
def password_hash() -> str:
    """The hash of a password, made once for all tests because hashing is slow on purpose."""
    return hashed(PASSWORD)


def bearer(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


class Served:
    """A server, and a client that sends requests from the same machine."""

    def __init__(self, store: Store, client: TestClient[Any, Any]) -> None:
        self.store = store
        self._client = client

    async def hosts(self, headers: Mapping[str, str]) -> int:
        return (await self.ask("GET", "/api/v1/hosts", headers))[0]

    async def approve(self, headers: Mapping[str, str], name: str = "acme/driver", **sent: str) -> int:
        body = {"reference": f"{name}@{DIGEST}", **sent}
        return (await self.ask("POST", "/api/v1/admission/approve", headers, body))[0]

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str], body: object = None
    ) -> tuple[int, Any, Mapping[str, str]]:
        headers = {"Host": "127.0.0.1:5000", **headers}
        async with self._client.request(method, path, headers=headers, json=body) as answer:
            return answer.status, await answer.json(), answer.headers

    async def token(self, user: str, *scopes: str) -> str:
        query = "&".join(f"scope={scope}" for scope in scopes)
        _, answer, _ = await self.ask("GET", f"/token?{query}", basic(user))
        return str(answer["token"])


async def hosts() -> object:
    return {"hosts": []}


@asynccontextmanager
async def serving(
    folder: Path, server: Mapping[str, object], *, users: bool = False, with_word: bool = False
) -> AsyncIterator[Served]:
    flags: dict[str, Any] = {"server": dict(server), "access": RULES}
    if with_word:
        (folder / "word").write_text(WORD)
        flags["admission"] = {"token_file": str(folder / "word")}
    settings = load(flags=flags)
    async with Store.open(folder / "data") as store:
        if users:
            for name in ("anna", "root", "watch", "bob"):
                await store.records.users.add_user(User(name, password_hash(), datetime.now(UTC)))
        slot = SharedMetrics((LOGINS,)).slot()
        async with authenticating(settings, store, lambda _rights, _user: MemoryRegistry(), slot) as authentication:
            application = build(
                MemoryRegistry(),
                authentication=authentication,
                operators=operators(settings, store, authentication),
                operator_reports={"hosts": hosts},
                actions=admission_actions(Services(settings, store, AsyncExitStack()).approvals.decide),
            )
            async with TestClient(RawTestServer(application.handle)) as client:
                yield Served(store, client)


@pytest.mark.parametrize(
    ("server", "users", "with_word", "headers", "operate", "approve"),
    [
        # There are no users, and the request comes from the same machine.
        (LOOPBACK, False, False, {}, 200, 200),
        (LOOPBACK | {"anonymous": []}, False, False, {}, 200, 200),
        (LOOPBACK, False, False, {"Host": "localhost:5000"}, 200, 200),
        (LOOPBACK, False, False, {"Host": "[::1]:5000"}, 200, 200),
        (LOOPBACK, False, False, {"Origin": "http://127.0.0.1:5000"}, 200, 200),
        (LOOPBACK | {"logins": False}, False, False, {}, 200, 200),
        (LOOPBACK, False, False, bearer("whatever"), 200, 200),
        # The request does not look like one from the same machine.
        (LOOPBACK, False, False, {"Host": "mirror.example"}, 403, 403),
        (LOOPBACK, False, False, {"Host": "127.0.0.1.evil.example"}, 403, 403),
        (LOOPBACK, False, False, {"Origin": "http://evil.example"}, 403, 403),
        (LOOPBACK, False, False, {"Origin": "null"}, 403, 403),
        (LOOPBACK, False, False, {"X-Forwarded-For": "192.0.2.7"}, 403, 403),
        (LOOPBACK, False, False, {"X-Forwarded-Host": "mirror.example"}, 403, 403),
        (LOOPBACK, False, False, {"Forwarded": "for=192.0.2.7"}, 403, 403),
        (LOOPBACK, False, False, {"Via": "1.1 proxy"}, 403, 403),
        (LOOPBACK | {"behind_proxy": True}, False, False, {}, 403, 403),
        (LOOPBACK | {"url": "https://mirror.example"}, False, False, {}, 403, 403),
        # Other hosts reach the server: no caller may, whatever rights on content anonymous callers have.
        (NETWORK, False, False, {}, 403, 403),
        (NETWORK | {"anonymous": ["pull", "push", "delete"]}, False, False, {}, 403, 403),
        # For decisions a password replaces the proof of being on the same machine.
        (LOOPBACK, False, True, {}, 200, 403),
        (LOOPBACK, False, True, bearer("another word of some length"), 200, 403),
        (LOOPBACK, False, True, bearer(WORD), 200, 200),
        (NETWORK, False, True, bearer(WORD), 403, 200),
        (NETWORK, True, True, bearer(WORD), 401, 200),
        (NETWORK, True, True, bearer(WORD + "x"), 401, 401),
        # With users: anonymous callers must log in, and users need a rule.
        (LOOPBACK, True, False, {}, 401, 401),
        (LOOPBACK | {"logins": False}, True, False, {}, 403, 403),
        (NETWORK, True, False, {}, 401, 401),
        (NETWORK, True, False, basic("root"), 200, 200),
        (NETWORK, True, False, basic("root", "wrong password"), 401, 401),
        (NETWORK, True, False, basic("anna"), 403, 200),
        (NETWORK, True, False, basic("watch"), 200, 403),
        (NETWORK, True, False, basic("bob"), 403, 403),
        (NETWORK, True, False, {"Authorization": "Digest x"}, 401, 401),
    ],
)
async def test_who_may_do_what(
    tmp_path: Path,
    server: Mapping[str, object],
    users: bool,
    with_word: bool,
    headers: Mapping[str, str],
    operate: int,
    approve: int,
) -> None:
    async with serving(tmp_path, server, users=users, with_word=with_word) as served:
        by = {} if headers.get("Authorization", "").startswith("Basic") else {"by": "alice"}
        assert await served.hosts(headers) == operate
        assert await served.approve(headers, **by) == approve
        assert len(await served.store.records.admissions.admissions()) == (approve == 200)


async def test_a_right_to_approve_is_one_for_repositories(tmp_path: Path) -> None:
    async with serving(tmp_path, NETWORK, users=True) as served:
        assert await served.approve(basic("anna"), "acme/driver") == 200
        assert await served.approve(basic("anna"), "other/driver") == 403
        status, answer, _ = await served.ask(
            "POST", "/api/v1/admission/reject", basic("anna"), {"reference": f"other/driver@{DIGEST}"}
        )
        assert (status, answer["errors"][0]["code"]) == (403, "DENIED")
        assert "anna may not approve other/driver" in answer["errors"][0]["message"]
        assert [one.repository.name for one in await served.store.records.admissions.admissions()] == ["acme/driver"]


async def test_a_rejection_takes_nothing_from_repositories_of_others(tmp_path: Path) -> None:
    async with serving(tmp_path, NETWORK, users=True) as served:

        async def reject(user: str, digest: Digest, name: str = "acme/driver") -> tuple[int, str]:
            sent = {"reference": f"{name}@{digest}"}
            status, answer, _ = await served.ask("POST", "/api/v1/admission/reject", basic(user), sent)
            return status, "" if status == 200 else answer["errors"][0]["message"]

        theirs = await push_image(served.store, "theirs", "1", repository=Repository("other/driver"))
        both = await push_image(served.store, "both", "1", repository=Repository("acme/driver"))
        await push_image(served.store, "both", "1", repository=Repository("other/copy"))
        ours = await push_image(served.store, "ours", "2", repository=Repository("acme/driver"))
        for digest in (DIGEST, theirs.digest, both.digest):
            status, message = await reject("anna", digest)
            assert status == 403
            assert "fix: ask a user who may approve in every repository" in message
        assert await served.store.records.admissions.admissions() == []
        assert await reject("anna", ours.digest) == (200, "")
        assert await reject("root", both.digest) == (200, "")
        assert await reject("root", DIGEST) == (200, "")


async def test_who_has_logged_in_decides_in_their_own_name(tmp_path: Path) -> None:
    async with serving(tmp_path, NETWORK, users=True, with_word=True) as served:
        assert await served.approve(basic("anna")) == 200
        assert await served.approve(basic("anna"), by="anna") == 200
        assert await served.approve(basic("anna"), by="root") == 403
        sent = {"reference": f"acme/driver@{DIGEST}", "by": ["anna"]}
        assert (await served.ask("POST", "/api/v1/admission/approve", basic("anna"), sent))[0] == 403
        (decided,) = await served.store.records.admissions.admissions()
        assert decided.decision is not None
        assert decided.decision.by == "anna"
        assert await served.approve(bearer(WORD)) == 400  # the request names no person
        assert await served.approve(bearer(WORD), by="a pipeline") == 200


async def test_tokens_decide_only_where_that_was_asked_for_by_name(tmp_path: Path) -> None:
    async with serving(tmp_path, NETWORK, users=True) as served:
        for scopes, status in (
            (["repository:acme/driver:pull,push"], 403),
            (["repository:acme/driver:*"], 403),  # the scope that clients request to delete
            (["repository:acme/other:approve"], 403),
            (["repository:acme/driver:approve"], 200),
        ):
            assert await served.approve(bearer(await served.token("anna", *scopes))) == status
        no_right = await served.token("bob", "repository:acme/driver:approve")
        assert await served.approve(bearer(no_right)) == 403
        operating = await served.token("root", "repository:acme/driver:operate", "registry:operate:*")
        assert await served.hosts(bearer(operating)) == 403


async def test_a_secret_for_machines_is_a_login(tmp_path: Path) -> None:
    async with serving(tmp_path, NETWORK, users=True) as served:
        _, secret = await create_token(served.store.records.users, "watch", "dashboard", None)
        assert await served.hosts(basic("watch", secret)) == 200
        assert await served.approve(basic("watch", secret)) == 403


async def test_no_browser_is_asked_for_a_password(tmp_path: Path) -> None:
    async with serving(tmp_path, NETWORK, users=True) as served:
        for headers in ({}, basic("root", "wrong password"), bearer("none of ours")):
            _, _, answered = await served.ask("GET", "/api/v1/hosts", headers)
            (challenge,) = parse_challenges(answered["WWW-Authenticate"])
            assert challenge.scheme == "bearer"


@pytest.mark.parametrize("body", ["[]", {"reference": 5}, {"reference": ["acme/driver"]}, {}])
async def test_what_is_sent_wrongly_decides_nothing(tmp_path: Path, body: object) -> None:
    async with serving(tmp_path, NETWORK, users=True) as served:
        status, _, _ = await served.ask("POST", "/api/v1/admission/approve", basic("root"), body)
        assert status == 400
        assert not await served.store.records.admissions.admissions()
