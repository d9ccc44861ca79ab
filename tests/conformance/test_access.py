"""Points 14 and 33: callers with different rights. Against the program with two workers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import count
from urllib.parse import quote

import jwt
import pytest

from mirror.wire.auth import basic_auth, challenges
from mirror.wire.auth.basic_auth import Login
from mirror.wire.auth.challenges import Challenge
from tests.conformance.client import Answer, Client, closing_target, head_of
from tests.conformance.content import IMAGE, digest_of, fresh, image
from tests.harness.command import run
from tests.harness.mirror import PROGRAM, Mirror

PASSWORD = "the pass:word"
SERVICE = "plugin-mirror"
EMPTY = digest_of(b"")
_numbers = count(1)

#: Who may do what, beside what anyone may.
ACCESS = [
    {"users": ["anna"], "repositories": ["acme/**"], "actions": ["pull", "push", "delete"]},
    {"users": ["*"], "repositories": ["shared/**"], "actions": ["pull"]},
]


def served(*anonymous: str, url: str | None = None, proxied: bool = False) -> Mirror:
    server: dict[str, object] = {"anonymous": list(anonymous), "behind_proxy": proxied}
    return Mirror(workers=2, sections={"server": server | ({"url": url} if url else {}), "access": ACCESS})


def add_user(mirror: Mirror, name: str) -> None:
    run([PROGRAM, "user", "add", name, "--password-stdin", "--config", str(mirror.config)], input_text=PASSWORD)


@pytest.fixture(scope="module")
def private() -> Iterator[Mirror]:
    """A server without anonymous rights. anna may work below acme/, bob may pull below shared/."""
    with served() as mirror:
        for name in ("anna", "bob"):
            add_user(mirror, name)
        yield mirror


@pytest.fixture(scope="module")
def pushable() -> Iterator[Mirror]:
    """A server to which anybody may push, and from which only users may pull."""
    with served("push") as mirror:
        add_user(mirror, "anna")
        yield mirror


@pytest.fixture(scope="module")
def client(private: Mirror) -> Client:
    return Client(private.port)


@pytest.fixture
def repository() -> str:
    return f"acme/r{next(_numbers)}"


def challenge(answer: Answer) -> Challenge:
    """Return the only challenge of a 401."""
    assert (answer.status, answer.code) == (401, "UNAUTHORIZED")
    (only,) = challenges.parse(answer["WWW-Authenticate"] or "")
    assert only.scheme == "bearer"
    return only


def as_user(name: str = "anna", password: str = PASSWORD) -> tuple[str, str]:
    return ("Authorization", basic_auth.build(Login(name, password)))


def ask_token(client: Client, *scopes: str, user: str | None = "anna", more: str = "") -> Answer:
    query = "&".join(f"scope={quote(scope)}" for scope in scopes)
    return client.get(f"/token?service={SERVICE}&{query}{more}", *([as_user(user)] if user else []))


def token(client: Client, *scopes: str, user: str | None = "anna") -> tuple[str, str]:
    answer = ask_token(client, *scopes, user=user)
    assert answer.status == 200
    return ("Authorization", f"Bearer {answer.json['token']}")


def access(answer: Answer) -> dict[str, set[str]]:
    claims = jwt.decode(answer.json["token"], options={"verify_signature": False})
    return {entry["name"]: set(entry["actions"]) for entry in claims["access"]}


@pytest.mark.parametrize(
    ("method", "target", "scope"),
    [
        ("GET", "/v2/", None),
        ("GET", "/v2/_catalog", "registry:catalog:*"),
        ("GET", "/v2/acme/a/tags/list", "repository:acme/a:pull"),
        ("HEAD", "/v2/acme/a/manifests/1", "repository:acme/a:pull"),
        ("GET", f"/v2/acme/a/blobs/{EMPTY}", "repository:acme/a:pull"),
        ("GET", f"/v2/acme/a/referrers/{EMPTY}", "repository:acme/a:pull"),
        ("PUT", "/v2/acme/a/manifests/1", "repository:acme/a:pull,push"),
        ("POST", "/v2/acme/a/blobs/uploads/", "repository:acme/a:pull,push"),
        ("PATCH", "/v2/acme/a/blobs/uploads/x", "repository:acme/a:pull,push"),
        ("DELETE", "/v2/acme/a/manifests/1", "repository:acme/a:delete"),
        (
            "POST",
            f"/v2/acme/a/blobs/uploads/?mount={EMPTY}&from=b/c",
            "repository:acme/a:pull,push repository:b/c:pull",
        ),
    ],
)
def test_33_one_challenge_names_all_that_is_missing(
    client: Client, private: Mirror, method: str, target: str, scope: str | None
) -> None:
    if method == "PUT":
        answer = client.ask(method, target, [("Content-Type", IMAGE)], image(b"{}"))
    else:
        answer = client.ask(method, target)
    if method == "HEAD":
        assert (answer.status, answer.body) == (401, b"")
        (found,) = challenges.parse(answer["WWW-Authenticate"] or "")
    else:
        found = challenge(answer)
    expected = {"realm": f"{private.url}/token", "service": SERVICE} | ({"scope": scope} if scope else {})
    assert found.parameters == expected


def test_33_one_token_serves_every_method_of_its_scope(client: Client, repository: str) -> None:
    held = token(client, f"repository:{repository}:pull,push")
    base, content, config = f"/v2/{repository}", fresh(), fresh()
    begun = client.ask("POST", f"{base}/blobs/uploads/", [held], b"")
    assert begun.status == 202
    assert client.ask("PATCH", begun.location, [held], content).status == 202
    assert client.ask("PUT", closing_target(begun.location, digest_of(content)), [held], b"").status == 201
    whole = f"{base}/blobs/uploads/?digest={digest_of(config)}"
    assert client.ask("POST", whole, [held], config).status == 201
    manifest = image(config)
    assert client.ask("PUT", f"{base}/manifests/1", [held, ("Content-Type", IMAGE)], manifest).status == 201
    assert client.head(f"{base}/manifests/1", held).status == 200
    assert client.get(f"{base}/manifests/1", held).body == manifest
    assert client.get(f"{base}/blobs/{digest_of(content)}", held).body == content
    refused = challenge(client.ask("DELETE", f"{base}/manifests/1", [held]))
    assert refused.parameters["scope"] == f"repository:{repository}:delete"
    assert refused.parameters["error"] == "insufficient_scope"
    assert client.ask("DELETE", f"{base}/manifests/1", [token(client, refused.parameters["scope"])]).status == 202


def test_33_a_token_is_for_nothing_else(client: Client, repository: str) -> None:
    held = token(client, f"repository:{repository}:pull")
    assert client.head(f"/v2/{repository}/manifests/1", held).status == 404
    for method, target, scope in (
        ("GET", "/v2/acme/other/manifests/1", "repository:acme/other:pull"),
        ("POST", f"/v2/{repository}/blobs/uploads/", f"repository:{repository}:pull,push"),
        ("GET", "/v2/_catalog", "registry:catalog:*"),
    ):
        found = challenge(client.ask(method, target, [held]))
        assert (found.parameters["scope"], found.parameters["error"]) == (scope, "insufficient_scope")


def test_33_who_may_not_is_told_so_and_not_sent_in_circles(client: Client) -> None:
    asked = ask_token(client, "repository:acme/a:pull,push", "repository:shared/a:pull,push", user="bob")
    assert access(asked) == {"shared/a": {"pull"}}
    held = ("Authorization", f"Bearer {asked.json['token']}")
    answer = client.get("/v2/acme/a/manifests/1", held)
    assert (answer.status, answer.code, answer["WWW-Authenticate"]) == (403, "DENIED", None)
    assert client.get("/v2/shared/a/manifests/1", held).status == 404
    assert client.ask("POST", "/v2/shared/a/blobs/uploads/", [as_user("bob")], b"").status == 403


def test_33_a_login_helps_who_holds_a_token_for_nobody(client: Client) -> None:
    held = token(client, "repository:acme/a:pull", user=None)
    assert client.get("/v2/", held).status == 200
    found = challenge(client.get("/v2/acme/a/manifests/1", held))
    assert found.parameters["error"] == "insufficient_scope"


@pytest.mark.parametrize(
    ("changes", "key", "algorithm"),
    [
        ({"exp": int(time.time()) - 3600}, None, "HS256"),
        ({"iat": int(time.time()) + 3600}, None, "HS256"),
        ({"aud": "registry.example"}, None, "HS256"),
        ({"sub": "eve"}, None, "HS256"),
        ({"proof": "password:0000000000000000"}, None, "HS256"),
        ({}, b"x" * 32, "HS256"),
        ({}, b"", "none"),
    ],
    ids=[
        "expired",
        "from the future",
        "for another service",
        "of nobody known",
        "of an old password",
        "key",
        "unsigned",
    ],
)
def test_33_what_is_no_token_of_ours(
    client: Client, private: Mirror, changes: dict[str, object], key: bytes | None, algorithm: str
) -> None:
    given = ask_token(client, "repository:acme/a:pull").json["token"]
    claims = jwt.decode(given, options={"verify_signature": False}) | changes
    signing = (private.data / "token.key").read_bytes() if key is None else key
    forged = jwt.encode(claims, signing if algorithm != "none" else None, algorithm=algorithm)
    for target in ("/v2/", "/v2/acme/a/manifests/1"):
        assert (
            challenge(client.get(target, ("Authorization", f"Bearer {forged}"))).parameters["error"] == "invalid_token"
        )


@pytest.mark.parametrize(
    "sent", ["Bearer", "Bearer a.b.c", "Bearer \xff", "Basic", "Basic !", "Basic \xff", "Digest x", ""]
)
def test_33_what_is_no_authorization(client: Client, sent: str) -> None:
    challenge(client.get("/v2/acme/a/manifests/1", ("Authorization", sent)))


def test_33_a_password_may_come_with_every_request(client: Client) -> None:
    assert client.get("/v2/", as_user()).status == 200
    assert client.get("/v2/acme/none/manifests/1", as_user()).status == 404
    challenge(client.get("/v2/acme/none/manifests/1", as_user(password="wrong word")))


def test_33_a_form_gives_the_same_token(client: Client) -> None:
    form = f"grant_type=password&service={SERVICE}&client_id=x&username=anna&password={quote(PASSWORD)}"
    body = f"{form}&scope=repository:acme/a:pull+repository(plugin):acme/a:push,pull".encode()
    answer = client.ask("POST", "/token", [("Content-Type", "application/x-www-form-urlencoded")], body)
    assert answer.status == 200
    assert access(answer) == {"acme/a": {"pull", "push"}}
    assert answer.json["token"] == answer.json["access_token"]
    assert answer.json["expires_in"] == 300
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("GET", "/token?service=registry.example", None, 400),
        ("POST", "/token", b"grant_type=client_credentials", 400),
        ("POST", "/token", b"\xff", 400),
        ("POST", "/token", b"a" * 70_000, 413),
        ("POST", "/token", [b"a" * 70_000], 413),
        ("POST", "/token", b"grant_type=refresh_token&refresh_token=pmt_guessed", 401),
        ("PUT", "/token", b"", 405),
        ("HEAD", "/token", None, 405),
        ("GET", "/token?" + "&".join(f"scope=repository:a{number}:pull" for number in range(400)), None, 400),
    ],
)
def test_33_requests_for_tokens_that_are_refused(
    client: Client, method: str, target: str, body: bytes | list[bytes] | None, status: int
) -> None:
    answer = client.ask(method, target, (), body)
    assert (answer.status, answer["WWW-Authenticate"]) == (status, None)


@pytest.mark.parametrize(
    ("scopes", "given"),
    [
        (["repository(plugin):acme/d:pull"], {"pull"}),  # engines up to 19.03 install
        (["repository(plugin):acme/d:push,pull"], {"pull", "push"}),  # and push
        (["repository(plugin):acme/d:pull", "repository:acme/d:pull"], {"pull"}),  # engines since 20.10 install
        (
            ["repository(plugin):acme/d:pull,push", "repository:acme/d:pull", "repository:acme/d:pull,push"],
            {"pull", "push"},
        ),
        (["repository:acme/d:*"], {"pull", "push", "delete"}),  # skopeo deletes
    ],
)
def test_33_scopes_as_clients_ask_for_them(client: Client, scopes: list[str], given: set[str]) -> None:
    asked = ask_token(client, *scopes, more="&account=anna&client_id=docker&offline_token=true")
    assert access(asked) == {"acme/d": given}
    claims = jwt.decode(asked.json["token"], options={"verify_signature": False})
    assert {entry["type"] for entry in claims["access"]} == {"repository"}
    assert "refresh_token" not in asked.json


def test_33_scopes_that_make_no_sense_give_nothing(client: Client) -> None:
    answer = ask_token(client, "repository:UPPER:pull", "nonsense", "other:a:pull", "repository:acme/a:fly,pull")
    assert access(answer) == {"acme/a": {"pull"}}


def test_33_the_challenge_leads_where_the_request_went(client: Client, private: Mirror) -> None:
    asked = [("Host", "mirror.example:8443"), ("X-Forwarded-Proto", "https")]
    for headers, realm in (
        (asked, "http://mirror.example:8443/token"),
        ([("Host", 'evil"host')], f"{private.url}/token"),
    ):
        lines = [f"{name}: {value}" for name, value in headers]
        sent = "\r\n".join(["GET /v2/ HTTP/1.1", *lines, "", ""]).encode()
        (answer,) = client.raw(sent, "GET")
        assert challenge(answer).parameters["realm"] == realm
    (old,) = client.raw(b"GET /v2/ HTTP/1.0\r\n\r\n", "GET")
    assert challenge(old).parameters["realm"] == f"{private.url}/token"


def test_33_behind_a_proxy_the_challenge_leads_to_it() -> None:
    with served(proxied=True) as mirror:
        add_user(mirror, "anna")
        (answer,) = Client(mirror.port).raw(head_of("GET", "/v2/", [("X-Forwarded-Proto", "https")]), "GET")
        assert challenge(answer).parameters["realm"] == "https://mirror/token"


def test_33_the_address_may_be_written_down() -> None:
    with served(url="https://plugins.example") as mirror:
        add_user(mirror, "anna")
        found = challenge(Client(mirror.port).get("/v2/"))
        assert found.parameters["realm"] == "https://plugins.example/token"


def test_33_the_catalog_shows_what_its_reader_may_pull(client: Client, repository: str) -> None:
    for name in (repository, "acme/catalogued"):
        blob = fresh()
        target = f"/v2/{name}/blobs/uploads/?digest={digest_of(blob)}"
        assert client.ask("POST", target, [as_user()], blob).status == 201
    shown = client.get("/v2/_catalog", token(client, "registry:catalog:*")).json["repositories"]
    assert {repository, "acme/catalogued"} <= set(shown)
    hidden = client.get("/v2/_catalog", token(client, "registry:catalog:*", user="bob")).json["repositories"]
    assert hidden == []


def test_33_users_and_tokens_end_at_once_in_every_worker(client: Client, private: Mirror) -> None:
    add_user(private, "carol")
    made = json.loads(private.command("token", "create", "carol", "--json").stdout)
    by_secret = ask_token(client, "repository:shared/a:pull", user=None, more="")
    assert by_secret.status == 200
    body = f"grant_type=refresh_token&service={SERVICE}&refresh_token={made['secret']}".encode()
    held = ("Authorization", f"Bearer {client.ask('POST', '/token', (), body).json['token']}")
    own = token(client, "repository:shared/a:pull", user="carol")
    for _ in range(8):
        assert {client.get("/v2/", each).status for each in (held, own)} == {200}
    private.command("token", "revoke", made["id"])
    for _ in range(8):
        assert [client.get("/v2/", each).status for each in (held, own)] == [401, 200]
    private.command("user", "rm", "carol")
    for _ in range(8):
        assert {client.get("/v2/", each).status for each in (held, own)} == {401}
    assert client.get("/v2/", as_user("carol")).status == 401


def test_33_a_mirror_of_docker_hub_never_asks_for_its_password(client: Client) -> None:
    answer = client.get("/v2/library/none/manifests/1?ns=docker.io")
    assert (answer.status, answer["WWW-Authenticate"]) == (404, None)
    assert client.get("/v2/library/none/manifests/1?ns=quay.io").status == 401


def test_33_without_users_nobody_is_asked_for_a_login() -> None:
    with served("pull") as mirror:
        client = Client(mirror.port)
        for header in ((), (as_user(),), (("Authorization", "Bearer nonsense"),)):
            assert client.get("/v2/", *header).status == 200
            refused = client.ask("POST", "/v2/acme/a/blobs/uploads/", header, b"")
            assert (refused.status, refused.code, refused["WWW-Authenticate"]) == (403, "DENIED", None)
        add_user(mirror, "anna")
        assert client.get("/v2/").status == 401
        assert client.ask("POST", "/v2/acme/a/blobs/uploads/", [as_user()], b"").status == 202


def test_33_a_server_may_know_nobody_although_there_are_users(private: Mirror) -> None:
    sections = {"server": {"anonymous": ["pull"], "logins": False}, "access": ACCESS}
    with Mirror(data=private.data, sections=sections) as open_to_all:
        client = Client(open_to_all.port)
        assert client.get("/v2/").status == 200
        assert client.get("/token").status == 404
        assert client.ask("POST", "/v2/acme/a/blobs/uploads/", [as_user()], b"").status == 403


def test_14_a_mount_needs_to_read_the_source_with_a_token_too(client: Client, repository: str) -> None:
    source, content = f"{repository}/source", fresh()
    digest = digest_of(content)
    whole = f"/v2/{source}/blobs/uploads/?digest={digest}"
    assert client.ask("POST", whole, [as_user()], content).status == 201
    mount = f"/v2/{repository}/blobs/uploads/?mount={digest}&from={source}"
    found = challenge(client.ask("POST", mount, (), b"")).parameters["scope"]
    assert found == f"repository:{repository}:pull,push repository:{source}:pull"
    # A token for the target only gives an upload session, as for a source without the blob.
    target_only = token(client, f"repository:{repository}:pull,push")
    absent = f"/v2/{repository}/blobs/uploads/?mount={EMPTY}&from={source}"
    answers = [client.ask("POST", each, [target_only], b"") for each in (mount, absent)]
    assert [answer.status for answer in answers] == [202, 202]
    assert {*answers[0].headers} == {*answers[1].headers}
    # A token with the scopes of the challenge suffices.
    assert client.ask("POST", mount, [token(client, *found.split())], b"").status == 201


def test_14_an_anonymous_mount_reveals_nothing(pushable: Mirror, repository: str) -> None:
    client, content = Client(pushable.port), fresh()
    digest = digest_of(content)
    assert client.ask("POST", f"/v2/secret/blobs/uploads/?digest={digest}", (), content).status == 201
    held, absent = (
        client.ask("POST", f"/v2/{repository}/blobs/uploads/?mount={each}{source}", (), b"")
        for each, source in ((digest, "&from=secret"), (digest_of(fresh()), "&from=secret"))
    )
    assert [held.status, absent.status] == [202, 202]
    assert {*held.headers} == {*absent.headers}
    assert client.ask("POST", f"/v2/{repository}/blobs/uploads/?mount={digest}", (), b"").status == 202
    assert client.ask("PUT", closing_target(held.location, digest), (), content).status == 201


def test_guesses_are_held_up_and_the_user_is_not(private: Mirror) -> None:
    with served() as mirror:
        add_user(mirror, "anna")
        client = Client(mirror.port)
        secret = mirror.command("token", "create", "anna").stdout.strip()
        statuses = [client.get("/v2/", as_user(password="pmt_guess")).status for _ in range(60)]
        assert set(statuses) == {401, 429}
        held_up = next(
            answer
            for answer in (client.get("/v2/", as_user(password="pmt_guess")) for _ in range(60))
            if answer.status == 429
        )
        assert held_up.code == "TOOMANYREQUESTS"
        assert int(held_up["Retry-After"] or 0) > 0
        assert client.get("/v2/", as_user(password=secret)).status == 200
        metrics = client.get("/metrics").body.decode()
        counts = {
            line.split('"')[1]: float(line.split()[-1]) for line in metrics.splitlines() if "logins_total{" in line
        }
        assert counts["wrong"] > 0
        assert counts["rate_limited"] > 0
        assert counts["token"] == 1
    log = (private.folder / "mirror.log").read_text()
    assert PASSWORD not in log
    assert "eyJ" not in log  # each issued token begins so
