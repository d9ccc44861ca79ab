"""Refusals that go into the audit, and those that do not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from mirror.oci import Repository
from mirror.oci.errors import (
    Denied,
    ManifestUnknown,
    MirrorError,
    Protected,
    QuotaExceeded,
    RightMissing,
    StorageFault,
    Unauthorized,
)
from mirror.records.changes.change import Change, ChangeKind, ReaderPosition, RecordedChange
from mirror.server import refused_changes
from mirror.server.refused_changes import RefusedChanges

HERE = Repository("acme/driver")


class Notes:
    """Implements ChangeLog for notes only."""

    def __init__(self) -> None:
        self.made: list[Change] = []
        self.fault: MirrorError | None = None

    async def read(self, after: int, most: int) -> Sequence[RecordedChange]:
        raise NotImplementedError

    async def position(self, reader: str) -> ReaderPosition:
        raise NotImplementedError

    async def advance(self, reader: str, position: ReaderPosition, readers: Sequence[str]) -> None:
        raise NotImplementedError

    async def oldest(self, reader: str) -> datetime | None:
        raise NotImplementedError

    async def note(self, change: Change) -> None:
        if self.fault is not None:
            raise self.fault
        self.made.append(change)


def request(method: str, path: str = "/v2/acme/driver/manifests/1", authorization: str = "") -> web.Request:
    return make_mocked_request(method, path, {"Authorization": authorization} if authorization else {})


@pytest.mark.parametrize("kind", [Denied, RightMissing, Protected, QuotaExceeded])
@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
async def test_a_change_that_is_refused(method: str, kind: type[Denied]) -> None:
    log = Notes()
    await RefusedChanges(log).note(request(method), kind("anna may not push", name=HERE, rule="no-root"))
    assert log.made == [
        Change(
            ChangeKind.REFUSED,
            f"{method} /v2/acme/driver/manifests/1",
            "acme/driver",
            rule="no-root",
            reason="anna may not push",
        )
    ]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (request("GET"), Denied("held")),
        (request("HEAD"), RightMissing("no right")),
        (request("PUT"), Unauthorized("a login is needed")),
        (request("PUT", authorization="Bearer abc"), Unauthorized("another token is needed")),
        (request("GET", "/token"), Unauthorized("no")),
        (request("DELETE"), ManifestUnknown("no such tag")),
        (request("PUT"), StorageFault("the disk failed")),
    ],
)
async def test_what_is_no_refusal_of_a_change(asked: web.Request, error: MirrorError) -> None:
    log = Notes()
    await RefusedChanges(log).note(asked, error)
    assert log.made == []


@pytest.mark.parametrize(
    "asked",
    [
        request("GET", "/token", "Basic YW5uYTpzZWNyZXQ="),
        request("PUT", authorization="basic YW5uYTpzZWNyZXQ="),
        request("POST", "/token?password=secret"),
        request("POST", "/plugins/token"),
    ],
)
async def test_a_login_that_fails_without_its_secret(asked: web.Request) -> None:
    log = Notes()
    await RefusedChanges(log).note(asked, Unauthorized("user name or password is wrong"))
    (made,) = log.made
    assert made.kind is ChangeKind.LOGIN_FAILED
    assert "secret" not in repr(made)
    assert "YW5uY" not in repr(made)


async def test_a_flood_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(refused_changes, "monotonic", lambda: now[0])
    log = Notes()
    refusals = RefusedChanges(log)
    for _ in range(1000):
        await refusals.note(request("PUT"), Denied("no"))
    assert len(log.made) == 100
    now[0] += 1
    for _ in range(1000):
        await refusals.note(request("PUT"), Denied("no"))
    assert len(log.made) == 105
    assert log.made[100].detail == {"others_left_out": "900"}
    assert log.made[101].detail == {}


async def test_a_client_gets_its_refusal_although_the_catalog_fails() -> None:
    log = Notes()
    log.fault = StorageFault("the disk failed")
    await RefusedChanges(log).note(request("PUT"), Denied("no"))


@pytest.mark.parametrize("name", ["\n{}", "\x1b[31m", "x" * 5000])
async def test_texts_of_clients_are_short_and_printable(name: str) -> None:
    log = Notes()
    await RefusedChanges(log).note(request("PUT"), Denied(name))
    (made,) = log.made
    assert made.reason.isprintable()
    assert len(made.reason) <= 501
