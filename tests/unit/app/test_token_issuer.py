"""A server whose bearer tokens another server issues: the whole of it in this process, over TLS."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mirror.wire.auth import challenges
from tests.support.certificate_site import CertificateSite, basic, certificate_site
from tests.support.served import Answer
from tests.support.token_issuer import ISSUER, SERVICE, TokenIssuer, access

REALM = "https://auth.example/token"
DRIVER, OTHER = "acme/driver", "acme/other"
SITE = TokenIssuer()
SEC = {"users": ["sec"], "repositories": ["acme/**"], "actions": ["approve"]}
HOSTS = {"users": ["cert:CN=host-*"], "repositories": [OTHER], "actions": ["pull", "push"]}


@asynccontextmanager
async def served(
    folder: Path, anonymous: Sequence[str] = (), users: Sequence[str] = ()
) -> AsyncIterator[CertificateSite]:
    (folder / "keys.json").write_bytes(SITE.key_set)
    issuer = {"realm": REALM, "service": SERVICE, "issuer": ISSUER, "jwks": str(folder / "keys.json")}
    settings = {"token_issuer": issuer, "anonymous": list(anonymous)}
    async with certificate_site(folder, [SEC, HOSTS], users, settings) as site:
        yield site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[CertificateSite]:
    async with served(tmp_path, users=["anna"]) as site:
        yield site


def bearer(*entries: Any, of: TokenIssuer = SITE, **options: Any) -> tuple[str, str]:
    return "Authorization", f"Bearer {of.token(*entries, **options)}"


def challenge(answer: Answer) -> dict[str, str]:
    assert answer.status == 401
    (found,) = challenges.parse(answer.headers["WWW-Authenticate"])
    assert found.scheme == "bearer"
    return dict(found.parameters)


def message(answer: Answer) -> str:
    return str(answer.json["errors"][0]["message"])


async def upload(site: CertificateSite, repository: str, *headers: tuple[str, str]) -> Answer:
    content = b"{}"
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    target = f"/v2/{repository}/blobs/uploads/?digest={digest}"
    return await site.ask(None, "POST", target, [*headers, ("Content-Type", "application/octet-stream")], content)


OWN = {"realm": REALM, "service": SERVICE}


async def test_the_challenge_names_the_issuer(site: CertificateSite) -> None:
    assert challenge(await site.ask(None, "GET", "/v2/")) == OWN
    answer = await site.ask(None, "GET", f"/v2/{DRIVER}/manifests/1.0")
    assert challenge(answer) == {**OWN, "scope": f"repository:{DRIVER}:pull"}
    assert challenge(await upload(site, DRIVER)) == {**OWN, "scope": f"repository:{DRIVER}:pull,push"}


async def test_a_token_allows_what_it_names(site: CertificateSite) -> None:
    token = bearer(access(DRIVER, "pull", "push"))
    assert (await site.ask(None, "GET", "/v2/", [token])).status == 200
    pushed = await upload(site, DRIVER, token)
    assert pushed.status == 201
    blob = pushed.headers["Docker-Content-Digest"]
    for method in ("GET", "HEAD"):
        assert (await site.ask(None, method, f"/v2/{DRIVER}/blobs/{blob}", [token])).status == 200
    assert (await site.ask(None, "GET", f"/v2/{DRIVER}/blobs/{blob}", [token, ("Range", "bytes=0-0")])).status == 206


async def test_a_token_allows_nothing_else(site: CertificateSite) -> None:
    token = bearer(access(DRIVER, "pull"))
    answer = await site.ask(None, "GET", f"/v2/{OTHER}/tags/list", [token])
    assert challenge(answer) == {**OWN, "scope": f"repository:{OTHER}:pull", "error": "insufficient_scope"}
    assert challenge(await upload(site, DRIVER, token))["error"] == "insufficient_scope"
    assert challenge(await site.ask(None, "DELETE", f"/v2/{DRIVER}/manifests/1.0", [token]))["scope"] == (
        f"repository:{DRIVER}:delete"
    )
    assert challenge(await site.ask(None, "GET", "/v2/_catalog", [token]))["error"] == "insufficient_scope"


async def test_the_asterisk_allows_to_push_and_delete(site: CertificateSite) -> None:
    token = bearer(access(DRIVER, "*"))
    pushed = await upload(site, DRIVER, token)
    blob = pushed.headers["Docker-Content-Digest"]
    assert (await site.ask(None, "DELETE", f"/v2/{DRIVER}/blobs/{blob}", [token])).status == 202


async def test_a_token_for_the_catalog_lists_all_repositories(site: CertificateSite) -> None:
    token = bearer(access("catalog", "*", kind="registry"))
    assert (await site.ask(None, "GET", "/v2/_catalog", [token])).json == {"repositories": []}


async def test_a_token_without_a_name_allows_what_it_names(tmp_path: Path) -> None:
    async with served(tmp_path, anonymous=["pull"]) as site:
        nobody = bearer(user="")
        assert (await site.ask(None, "GET", "/v2/", [nobody])).status == 200
        assert challenge(await upload(site, DRIVER, nobody))["error"] == "insufficient_scope"
        assert (await upload(site, DRIVER, bearer(access(DRIVER, "push"), user=""))).status == 201


async def test_anonymous_rights_need_no_token(tmp_path: Path) -> None:
    async with served(tmp_path, anonymous=["pull"]) as site:
        assert (await site.ask(None, "GET", f"/v2/{DRIVER}/tags/list")).status == 404
        assert challenge(await upload(site, DRIVER))["scope"] == f"repository:{DRIVER}:pull,push"


async def test_passwords_and_own_tokens_are_refused(site: CertificateSite) -> None:
    answer = await site.ask(None, "GET", "/v2/", [basic("anna")])
    assert challenge(answer) == OWN
    assert message(answer) == f"this server takes no passwords; fix: send a bearer token from {REALM}"
    assert challenge(await site.ask(None, "GET", "/v2/", [basic("anna", site.secrets["anna"])])) == OWN
    form = b"grant_type=password&username=anna&password=x"
    for asked in (("GET", b""), ("POST", form)):
        answer = await site.ask(None, asked[0], "/token", [basic("anna")], asked[1])
        assert answer.status == 404
        assert message(answer) == f"this server issues no tokens; fix: request one from {REALM}"


APPROVE = "/api/v1/admission/approve"
DECISION = json.dumps({"reference": f"{DRIVER}@sha256:{'0' * 64}"}).encode()


async def approval(site: CertificateSite, *headers: tuple[str, str]) -> Answer:
    return await site.ask(None, "POST", APPROVE, headers, DECISION)


async def test_approving_needs_the_word_in_the_token_and_a_rule(site: CertificateSite) -> None:
    answer = await approval(site, bearer(access(DRIVER, "approve"), user="sec"))
    assert answer.json["admissions"][0]["decided_by"] == "sec"
    for entries, user in (
        ([access(DRIVER, "*")], "sec"),
        ([access(DRIVER, "pull", "push", "delete")], "sec"),
        ([access(OTHER, "approve")], "sec"),
        ([], "sec"),
        ([access(DRIVER, "approve")], "anna"),
        ([access(DRIVER, "approve", "*")], ""),
    ):
        answer = await approval(site, bearer(*entries, user=user))
        assert answer.status in {401, 403}, (entries, user)
    answer = await approval(site)
    assert challenge(answer) == OWN
    assert message(answer) == "approve needs a bearer token of the token issuer, for a user with this right"


@pytest.mark.parametrize("report", ["hosts", "storage"])
async def test_no_token_allows_to_operate(site: CertificateSite, report: str) -> None:
    entries = [access("**", "*", "operate"), access("catalog", "*", "operate", kind="registry")]
    for headers in ([bearer(*entries, user="sec")], []):
        answer = await site.ask(None, "GET", f"/api/v1/{report}", headers)
        assert answer.status == 403
        assert message(answer).startswith("operate needs a client certificate with this right by a rule")


async def test_new_keys_count_and_old_ones_do_not(site: CertificateSite) -> None:
    second = TokenIssuer(kid="second", number=1)
    assert (await site.ask(None, "GET", "/v2/", [bearer(of=second)])).status == 401
    (site.folder / "keys.json").write_bytes(second.key_set)
    assert (await site.ask(None, "GET", "/v2/", [bearer(of=second)])).status == 200
    assert (await site.ask(None, "GET", "/v2/", [bearer()])).status == 401


async def test_a_token_expires(site: CertificateSite) -> None:
    token = bearer()
    site.clock.advance(seconds=310)
    answer = await site.ask(None, "GET", "/v2/", [token])
    assert challenge(answer) == {**OWN, "error": "invalid_token"}
    assert "it has expired" in message(answer)


async def test_rights_of_a_certificate_are_added(site: CertificateSite) -> None:
    host, token = site.ca.issue("host-12"), bearer(access(DRIVER, "pull"))
    for repository in (DRIVER, OTHER):
        assert (await site.ask(host, "GET", f"/v2/{repository}/tags/list", [token])).status == 404
    assert challenge(await site.ask(None, "GET", f"/v2/{OTHER}/tags/list", [token]))["error"] == "insufficient_scope"
    assert (await site.ask(None, "GET", f"/v2/{OTHER}/tags/list", [bearer(user="cert:CN=host-12")])).status == 401


HOSTILE = [
    "",
    ".",
    "..",
    "e30.e30.",
    "W10.e30.AA",
    "eyJhbGciOiJub25lIn0.e30.",
    "a" * 8000,
    SITE.token(headers={"crit": ["exp"]}),
    SITE.token(exp=[1]),
    SITE.token(exp=float("inf")),
    SITE.token(aud={}),
    SITE.token(access="*"),
    SITE.token(iss="another"),
    TokenIssuer(number=1).token(access(DRIVER, "*")),
]


@pytest.mark.parametrize("path", ["/v2/", f"/v2/{DRIVER}/tags/list", "/api/v1/hosts"])
async def test_hostile_tokens_are_refused(site: CertificateSite, path: str) -> None:
    async with site.connect() as connection:
        for token in HOSTILE:
            await connection.send("GET", path, [("Authorization", f"Bearer {token}")])
            answer = await connection.receive()
            assert challenge(answer)["error"] == "invalid_token", token
