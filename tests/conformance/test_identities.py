"""Every route with every identity, against the rules: who may not read a repository learns nothing of it.

Two servers run side by side. One holds a repository that most callers may not read, and the other does not. A caller
without rights there gets the same answers from both, byte for byte, however it asks: by HTTP/1.0, with ``Range``,
``If-None-Match``, ``?ns=``, another spelling of the path, a mount, or a manifest that names content of the repository.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote

import jwt
import pytest
import pytest_asyncio

from mirror.access.issuer.issued_tokens import ISSUED_ACTIONS
from mirror.access.rights import AccessAction
from mirror.cli.service.access_answer import ANONYMOUS, answer
from mirror.oci import Digest, Repository
from mirror.oci.media_types import DOCKER_MANIFEST
from mirror.runtime import logs
from mirror.server import http_application
from mirror.server.dispatch import Dispatch
from mirror.wire import routes
from mirror.wire.routes import Route
from tests.conformance.every_request import (
    BESIDE,
    HIDDEN,
    OPEN,
    SECRET,
    SECRETS,
    SHOWN,
    Asked,
    Held,
    requests,
    routes_of,
)
from tests.support.certificate_site import CertificateSite, basic, certificate_site
from tests.support.client_certificates import Issued
from tests.support.served import Answer, Connection
from tests.support.token_issuer import ISSUER, SERVICE, TokenIssuer, access

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORD = "a word for pipelines, long enough"
GROUPS = {"team": ["member", "cert:CN=team-*"]}
RULES: list[dict[str, object]] = [
    {"users": ["puller"], "repositories": ["acme/**"], "actions": ["pull"]},
    {"users": ["pusher"], "repositories": ["acme/**"], "actions": ["pull", "push"]},
    {"users": ["writer"], "repositories": ["acme/**"], "actions": ["push"]},
    {"users": ["deleter"], "repositories": ["acme/**"], "actions": ["delete"]},
    {"users": ["approver"], "repositories": ["acme/*"], "actions": ["approve"]},
    {"users": ["group:team"], "repositories": ["acme/**"], "actions": ["pull", "push"]},
    {"users": ["cert:CN=host-*"], "repositories": ["acme/driver"], "actions": ["pull"]},
    {"users": ["*"], "repositories": ["shared/**"], "actions": ["pull"]},
    {"users": ["owner", "cert:CN=owner"], "repositories": ["**"], "actions": [each.value for each in AccessAction]},
]
#: With an issuer, rules give users nothing but this.
ISSUER_RULES: list[dict[str, object]] = [
    {"users": ["approver"], "repositories": ["acme/*"], "actions": ["approve"]},
    {"users": ["owner"], "repositories": ["**"], "actions": ["approve"]},
    {"users": ["cert:CN=host-*"], "repositories": ["acme/driver"], "actions": ["pull"]},
]
USERS = ["puller", "pusher", "writer", "deleter", "approver", "member", "nobody", "owner"]
LIMITS = {"upload_sessions_per_client": 100_000, "connections_per_client": 1000}
ISSUING = TokenIssuer()


#: End of tokens that do not expire while the tests run, however slowly.
LATER = int(time.time()) + 86_400


def bearer(*entries: Any, of: TokenIssuer = ISSUING, **options: Any) -> tuple[str, str]:
    return "Authorization", f"Bearer {of.token(*entries, **{'exp': LATER, **options})}"


#: Whether a caller may do something in a repository.
Rules: TypeAlias = Mapping[tuple[AccessAction, Repository], bool]


@dataclass
class World:
    """A server, and connections to it.

    Attributes:
        site: the server.
        paths: its pages beside the API.
        headers: header of each identity.
        certificates: client certificate of each identity.
        session: an open upload session of the secret repository.
    """

    site: CertificateSite
    paths: frozenset[str]
    headers: dict[str, tuple[str, str]] = field(default_factory=dict)
    certificates: dict[str, Issued] = field(default_factory=dict)
    session: str = ""
    _opened: dict[str, Connection] = field(default_factory=dict)
    _tls: dict[str, ssl.SSLContext] = field(default_factory=dict)

    async def ask(self, identity: str, asked: Asked) -> Answer:
        """Send a request. Connections of HTTP/1.1 are used again."""
        headers = [("Host", "mirror"), *asked.headers]
        headers += [self.headers[identity]] if identity in self.headers else []
        headers += [("Content-Length", str(len(asked.body)))] if asked.body else []
        lines = [f"{asked.method} {asked.target} HTTP/{asked.version}", *(f"{name}: {text}" for name, text in headers)]
        connection = self._opened.pop(identity, None) or await self._connect(identity)
        connection.writer.write("\r\n".join([*lines, "", ""]).encode() + asked.body)
        found = await connection.receive(head=asked.method == "HEAD")
        if asked.version == "1.1" and not asked.body and found.headers["Connection"] != "close":
            self._opened[identity] = connection
        else:
            connection.writer.transport.abort()
        return found

    async def _connect(self, identity: str) -> Connection:
        if identity in self.certificates:
            tls = self._tls.get(identity) or self.site.tls(self.certificates[identity])
            self._tls[identity] = tls
            return Connection(*await asyncio.open_connection("127.0.0.1", self.site.port, ssl=tls))
        return Connection(*await asyncio.open_connection("127.0.0.1", self.site.plain_port))

    async def close(self) -> None:
        for connection in self._opened.values():
            connection.writer.transport.abort()

    async def push(self, repository: Repository, held: Held) -> None:
        """Push content as the owner."""
        for content in (held.config, held.layer):
            target = routes.UploadsRoute(repository, digest=Digest.of(content)).url()
            assert (await self._send("POST", target, content)).status == 201
        manifests = f"/v2/{repository}/manifests/"
        assert (await self._send("PUT", f"{manifests}1", held.manifest, DOCKER_MANIFEST)).status == 201
        referrer = Digest.of(held.referrer)
        assert (await self._send("PUT", f"{manifests}{referrer}", held.referrer, DOCKER_MANIFEST)).status == 201

    async def _send(
        self, method: str, target: str, body: bytes, media_type: str = "application/octet-stream"
    ) -> Answer:
        return await self.ask("owner", Asked(method, target, target, (("Content-Type", media_type),), body))


@asynccontextmanager
async def world(
    folder: Path, rules: Sequence[dict[str, object]], users: Sequence[str] = (), **server: object
) -> AsyncIterator[World]:
    """Serve an empty store."""
    folder.mkdir()
    paths: set[str] = set()

    class RecordingDispatch(Dispatch):
        def __init__(self, *given: Any, **options: Any) -> None:
            paths.update(options["beside"])
            super().__init__(*given, **options)

    (folder / "word").write_text(WORD)
    (folder / "word").chmod(0o600)
    sections = {"groups": GROUPS, "admission": {"token_file": str(folder / "word")}}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(http_application, "Dispatch", RecordingDispatch)
        async with certificate_site(folder, rules, users, {"limits": LIMITS, **server}, **sections) as site:
            made = World(site, frozenset(paths))
            yield made
            await made.close()


async def fill(worlds: Sequence[World]) -> None:
    """Push what anybody may see to all servers, and the secret content to the first one only."""
    for each in worlds:
        await each.push(OPEN, SHOWN)
    await worlds[0].push(SECRET, HIDDEN)
    begun = await worlds[0].ask("owner", Asked("POST", f"/v2/{SECRET}/blobs/uploads/", ""))
    for each in worlds:
        each.session = begun.headers["Location"].rpartition("/")[2]


def told(found: Answer, asked: Asked) -> str:
    """Return all that an answer tells, without what chance and time decide."""
    body, by_chance = found.body, {"Date"}
    if asked.route == "/token" and found.status == 200:  # the rest of a token is its time and its identifier
        claims = jwt.decode(found.json["token"], options={"verify_signature": False})
        body, by_chance = json.dumps(claims["access"]).encode(), {"Date", "Content-Length"}
    headers = sorted((name, text) for name, text in found.headers.items() if name not in by_chance)
    text = f"{found.status} {headers} {body!r}"
    text = re.sub(r"('Docker-Upload-UUID', '|/blobs/uploads/)[A-Za-z0-9_-]{10,}", r"\1ID", text)
    return re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME", text)


# Callers of a server with users, by the name that `config check --as` knows them by. Some of them have less than that.
CALLERS = {
    "anonymous": ANONYMOUS,
    "nobody": "nobody",
    "puller": "puller",
    "pusher": "pusher",
    "writer": "writer",
    "deleter": "deleter",
    "approver": "approver",
    "member": "member",
    "host certificate": "cert:CN=host-1",
    "member by certificate": "cert:CN=team-1",
    "puller by name of the certificate": "cert:CN=puller",
    "access token": "puller",
}
LESSER = {
    "bearer": "pusher",
    "narrow bearer": "pusher",
    "anonymous bearer": ANONYMOUS,
    "expired bearer": ANONYMOUS,
    "forged bearer": ANONYMOUS,
    "wrong scheme": ANONYMOUS,
    "token of a removed user": ANONYMOUS,
    "revoked certificate": ANONYMOUS,
    "bearer of a host on another connection": ANONYMOUS,
}


async def identify(made: World) -> None:
    """Give each caller its header or certificate."""
    site, every = made.site, "pull,push,delete,approve"
    for user in USERS:
        made.headers[user] = basic(user)
    made.headers["access token"] = basic("puller", site.secrets["puller"])
    for name, common_name in (
        ("host certificate", "host-1"),
        ("member by certificate", "team-1"),
        ("puller by name of the certificate", "puller"),
        ("revoked certificate", "host-2"),
    ):
        made.certificates[name] = site.ca.issue(common_name)
    site.revoke(made.certificates["revoked certificate"])
    host = made.certificates["host certificate"]
    scopes = [f"repository:{each}:{every}" for each in (SECRET, OPEN)] + ["registry:catalog:*"]
    made.headers["bearer"] = await site.token(None, *scopes, headers=[basic("pusher")])
    made.headers["narrow bearer"] = await site.token(None, f"repository:{OPEN}:pull", headers=[basic("pusher")])
    made.headers["anonymous bearer"] = await site.token(None, *scopes)
    made.headers["bearer of a host on another connection"] = await site.token(host, *scopes)
    key = (site.folder / "data/token.key").read_bytes()
    for name in [name for name in made.headers if "bearer" in name]:
        good = jwt.decode(made.headers[name][1][7:], options={"verify_signature": False})
        made.headers[name] = ("Authorization", "Bearer " + jwt.encode(good | {"exp": LATER}, key, "HS256"))
    good = jwt.decode(made.headers["bearer"][1][7:], options={"verify_signature": False})
    everything = {"access": [{"type": "repository", "name": str(SECRET), "actions": every.split(",")}], "sub": "owner"}
    for name, claims, signed_by in (
        ("expired bearer", {"exp": good["iat"] - 10}, key),
        ("forged bearer", everything, b"x" * 32),
        ("token of a removed user", {**everything, "sub": "removed"}, key),
    ):
        made.headers[name] = ("Authorization", "Bearer " + jwt.encode(good | claims, signed_by, "HS256"))
    made.headers["wrong scheme"] = ("Authorization", "Digest username=owner")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worlds(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[World]]:
    """Two servers with users."""
    folder = tmp_path_factory.mktemp("worlds")
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(world(folder / name, RULES, USERS)) for name in ("with", "without")]
        for each in made:
            await identify(each)
        yield made


def action(method: str, route: Route) -> tuple[AccessAction, Repository] | None:
    """Return the right that a request needs; None for requests about no repository."""
    match route:
        case routes.UploadsRoute() | routes.UploadRoute():
            return AccessAction.PUSH, route.repository
        case routes.ManifestRoute() | routes.BlobRoute() | routes.TagsRoute() | routes.ReferrersRoute():
            named = {"PUT": AccessAction.PUSH, "DELETE": AccessAction.DELETE}
            return named.get(method, AccessAction.PULL), route.repository
        case _:
            return None


async def check(worlds: Sequence[World], identity: str, rules: Rules, *, least: bool, in_all_forms: bool) -> None:
    """Send every request as one caller to both servers, and compare the answers with each other and with the rules.

    Args:
        worlds: the servers.
        identity: the caller.
        rules: what the caller may do.
        least: True if the caller may do all that the rules say, False if it may do less.
        in_all_forms: True to send each request in all of its forms.
    """
    await fill(worlds)
    wrong = []
    for asked in requests(worlds[0].session, in_all_forms=in_all_forms):
        first, second = [await each.ask(identity, asked) for each in worlds]
        if asked.route != "/metrics" and told(first, asked) != told(second, asked):
            wrong.append(f"{asked}: differs: {told(first, asked)} {told(second, asked)}")
        shown = f"{first.headers}{first.body!r}"
        sent = unquote(f"{asked}{asked.body!r}")
        wrong += [f"{asked}: shows {secret}" for secret in SECRETS if secret in shown and secret not in sent]
        needs = None if isinstance(asked.route, str) else action(asked.method, asked.route)
        if asked.is_plain and needs is not None:
            allowed = first.status not in {401, 403}
            if (allowed and not rules[needs]) or (least and rules[needs] and not allowed):
                wrong.append(f"{asked}: {first.status}, and the rules say {rules[needs]}")
        if first.status >= 500:
            wrong.append(f"{asked}: {first.status}")
    assert not wrong, "\n".join(wrong[:20]) + f"\n{len(wrong)} in all"


@pytest.fixture(scope="module")
def rules(worlds: list[World]) -> Mapping[str, Rules]:
    """Return what `config check` says about each caller, by the name that it knows."""
    settings = worlds[0].site.settings
    asked = [(action, repository) for action in ISSUED_ACTIONS for repository in (SECRET, OPEN)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(logs, "configured", lambda *_, **__: nullcontext())  # commands would change the logging
        return {
            name: {needs: answer(settings, name, needs[0].value, needs[1].name)[0] for needs in asked}
            for name in {*CALLERS.values(), *LESSER.values()}
        }


@pytest.mark.parametrize("identity", CALLERS)
async def test_a_caller_may_what_config_check_says_and_learns_nothing_else(
    worlds: list[World], rules: Mapping[str, Rules], identity: str
) -> None:
    await check(worlds, identity, rules[CALLERS[identity]], least=True, in_all_forms=True)


@pytest.mark.parametrize("identity", LESSER)
async def test_a_token_or_a_bad_proof_gives_no_more_than_the_rules(
    worlds: list[World], rules: Mapping[str, Rules], identity: str
) -> None:
    await check(worlds, identity, rules[LESSER[identity]], least=False, in_all_forms=False)


async def test_each_route_and_each_page_is_asked(worlds: list[World]) -> None:
    kinds = {each for each in vars(routes).values() if isinstance(each, type) and issubclass(each, Route)} - {Route}
    assert set(routes_of(SECRET, "session")) == kinds
    assert worlds[0].paths == BESIDE.keys()


async def test_a_caller_with_the_right_sees_the_difference_by_every_route(worlds: list[World]) -> None:
    await fill(worlds)
    same = set()
    for asked in requests(worlds[0].session, in_all_forms=False):
        if asked.method in {"GET", "HEAD"} and str(SECRET) in asked.target and asked.route != "/token":
            first, second = [await each.ask("owner", asked) for each in worlds]
            if told(first, asked) == told(second, asked):
                same.add(str(asked))
    assert not same
    shown = [(await each.ask("owner", Asked("GET", "/v2/_catalog", ""))).json["repositories"] for each in worlds]
    assert shown == [[str(OPEN), str(SECRET)], [str(OPEN)]]


async def test_the_token_for_approving_opens_no_content(worlds: list[World]) -> None:
    await fill(worlds)
    worlds[0].headers["pipeline"] = ("Authorization", f"Bearer {WORD}")
    for asked in requests(worlds[0].session, in_all_forms=False):
        if not isinstance(asked.route, str):
            assert (await worlds[0].ask("pipeline", asked)).status == 401, asked


# Callers with tokens of an issuer, and what they may do in acme/driver.
_CONTENT = (AccessAction.PULL, AccessAction.PUSH)
ISSUED: dict[str, tuple[tuple[str, str] | None, tuple[AccessAction, ...]]] = {
    "no token": (None, ()),
    "token": (bearer(access(str(OPEN), "pull", "push")), _CONTENT),
    "token for everything": (bearer(access(str(OPEN), "*")), tuple(ISSUED_ACTIONS)),
    "token for the plugin of an engine": (bearer(access(str(OPEN), "pull", kind="repository(plugin)")), _CONTENT[:1]),
    "token for names that are none": (
        bearer(*(access(name, "*") for name in ("**", "*", "secret/**", "secret", "SECRET/driver", "secret/driver/"))),
        (),
    ),
    "token of another kind": (bearer(access(str(SECRET), "*", kind="registry")), ()),
    "token of the approver": (bearer(access(str(OPEN), "approve"), user="approver"), ()),
    "token of a user with rules": (bearer(user="owner"), ()),
    "token without a name": (bearer(access(str(OPEN), "pull"), user=""), _CONTENT[:1]),
    "forged token": (bearer(access(str(SECRET), "*"), of=TokenIssuer(number=1)), ()),
    "expired token": (bearer(access(str(SECRET), "*"), exp=1), ()),
    "token for another service": (bearer(access(str(SECRET), "*"), aud="another"), ()),
    "password": (basic("owner"), ()),
    "certificate": (None, _CONTENT[:1]),
    "certificate and token": (bearer(access(str(OPEN), "push")), _CONTENT),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def issued_worlds(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[World]]:
    """Two servers whose tokens an issuer signs."""
    folder = tmp_path_factory.mktemp("issued")
    (folder / "keys.json").write_bytes(ISSUING.key_set)
    issuer = {"realm": "https://auth.example/t", "service": SERVICE, "issuer": ISSUER, "jwks": f"{folder}/keys.json"}
    everything = [*(access(str(each), "*") for each in (SECRET, OPEN)), access("catalog", "*", kind="registry")]
    async with AsyncExitStack() as stack:
        made = []
        for name in ("with", "without"):
            opened = world(folder / name, ISSUER_RULES, ["owner"], token_issuer=issuer)
            made.append(await stack.enter_async_context(opened))
        for each in made:
            each.headers = {name: header for name, (header, _) in ISSUED.items() if header is not None}
            each.headers["owner"] = bearer(*everything, user="owner")
            each.certificates = {
                name: each.site.ca.issue("host-1") for name in ISSUED if name.startswith("certificate")
            }
        yield made


@pytest.mark.parametrize("identity", ISSUED)
async def test_a_token_of_an_issuer_gives_what_it_names_and_shows_nothing_else(
    issued_worlds: list[World], identity: str
) -> None:
    allowed = ISSUED[identity][1]
    rules = {(each, name): each in allowed and name == OPEN for each in ISSUED_ACTIONS for name in (SECRET, OPEN)}
    await check(issued_worlds, identity, rules, least=True, in_all_forms=False)


@pytest.mark.parametrize("server", [{}, {"logins": False}, {"anonymous": ["push"]}])
async def test_where_nobody_may_pull_no_report_names_a_repository(tmp_path: Path, server: dict[str, object]) -> None:
    rules: list[dict[str, object]] = [{"users": ["owner"], "repositories": ["acme/**"], "actions": ["push"]}]
    async with world(tmp_path / "data", rules, ["owner"], **server) as made:
        for path in (*(each for each in BESIDE if each.startswith("/api/v1/")), "/v2/_catalog"):
            method = "POST" if path.startswith("/api/v1/admission/") else "GET"
            assert (await made.ask("anonymous", Asked(method, path, path))).status in {401, 403}, path
