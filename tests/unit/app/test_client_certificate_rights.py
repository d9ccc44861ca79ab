"""Rights by client certificates, over TLS: beside logins and tokens, and after changes of the files."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from structlog.testing import capture_logs

from tests.support.certificate_site import CertificateSite, basic, certificate_site
from tests.support.client_certificates import ClientCa, Issued
from tests.support.served import Answer, Connection, digest

EMPTY = digest(b"")
RULES = [
    {"users": ["cert:CN=host-*"], "repositories": ["hosts/**"], "actions": ["pull", "push"]},
    {"users": ["anna"], "repositories": ["acme/**"], "actions": ["pull", "push"]},
]
IMAGE = ("Content-Type", "application/vnd.oci.image.manifest.v1+json")


def routes(name: str) -> list[tuple[str, str]]:
    """One request for each kind of route, and each action but deleting."""
    base = f"/v2/{name}"
    return [
        ("GET", f"{base}/tags/list"),
        ("HEAD", f"{base}/manifests/1"),
        ("GET", f"{base}/manifests/1"),
        ("PUT", f"{base}/manifests/1"),
        ("HEAD", f"{base}/blobs/{EMPTY}"),
        ("GET", f"{base}/blobs/{EMPTY}"),
        ("GET", f"{base}/referrers/{EMPTY}"),
        ("POST", f"{base}/blobs/uploads/"),
        ("POST", f"{base}/blobs/uploads/?mount={EMPTY}&from={name}"),
        ("GET", f"{base}/blobs/uploads/x"),
        ("PATCH", f"{base}/blobs/uploads/x"),
        ("PUT", f"{base}/blobs/uploads/x?digest={EMPTY}"),
    ]


def outcome(answer: Answer) -> str:
    """``login`` for a challenge, ``no`` for a refusal without one, and ``may`` for any answer about the content."""
    if answer.status == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
        return "login"
    assert answer.headers["WWW-Authenticate"] is None
    return "no" if answer.status == 403 else "may"


async def outcomes(site: CertificateSite, shown: Issued | None, name: str, login: list[tuple[str, str]]) -> set[str]:
    """Send a request for each route on its own connection, and return the different outcomes."""
    return {outcome(await site.ask(shown, *route, [*login, IMAGE])) for route in routes(name)}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[CertificateSite]:
    """A server with a user, and without rights for anybody else."""
    async with certificate_site(tmp_path, RULES, ["anna"]) as opened:
        yield opened


#: Rights of each login on connections that give none: of ``/v2/``, of the hosts' repositories, and of anna's.
WITHOUT_CERTIFICATE = {
    "none": ("login", "login", "login"),
    "password": ("may", "no", "may"),
    "access token": ("may", "no", "may"),
    "bearer token": ("may", "no", "may"),
    "token of another connection": ("may", "login", "login"),
}
WITH_CERTIFICATE = {
    "none": ("login", "may", "login"),
    "password": ("may", "may", "may"),
    "access token": ("may", "may", "may"),
    "bearer token": ("may", "may", "may"),
    "token of another connection": ("may", "may", "login"),
}


async def header(site: CertificateSite, login: str) -> list[tuple[str, str]]:
    match login:
        case "password":
            return [basic("anna")]
        case "access token":
            return [basic("anna", site.secrets["anna"])]
        case "bearer token":
            return [await site.token(None, "repository:acme/a:pull,push", headers=[basic("anna")])]
        case "token of another connection":
            return [await site.token(site.ca.issue("host-1"), "repository:hosts/a:pull,push")]
        case _:
            return []


@pytest.mark.parametrize("login", list(WITH_CERTIFICATE))
@pytest.mark.parametrize("name", [None, "other", "host-12"])
async def test_a_certificate_gives_rights_and_a_login_adds_to_them(
    site: CertificateSite, name: str | None, login: str
) -> None:
    shown = None if name is None else site.ca.issue(name)
    sent = await header(site, login)
    ping, hosts, acme = (WITH_CERTIFICATE if name == "host-12" else WITHOUT_CERTIFICATE)[login]
    assert outcome(await site.ask(shown, "GET", "/v2/", sent)) == ping
    assert await outcomes(site, shown, "hosts/a", sent) == {hosts}
    assert await outcomes(site, shown, "acme/a", sent) == {acme}


@pytest.mark.parametrize("login", list(WITH_CERTIFICATE))
@pytest.mark.parametrize("end", ["revoked", "expired", "of a CA that is not trusted any more"])
async def test_a_certificate_that_is_not_good_any_more_is_refused(site: CertificateSite, end: str, login: str) -> None:
    shown = site.ca.issue("host-12", lasting=timedelta(hours=1))
    assert (await site.ask(shown, "GET", "/v2/hosts/a/tags/list")).status == 404
    if end == "expired":  # before the login, because tokens expire too
        site.clock.advance(hours=2)
    sent = await header(site, login)
    if end == "revoked":
        site.revoke(shown)
    elif end != "expired":
        other = ClientCa()
        (site.folder / "clients.crl").write_bytes(other.revoked())
        site.trust(other)
    assert outcome(await site.ask(shown, "GET", "/v2/", sent)) == "no"
    assert await outcomes(site, shown, "hosts/a", sent) == {"no"}
    assert await outcomes(site, shown, "acme/a", sent) == {"no"}
    for path in ("/token", "/healthz", "/api/v1/hosts"):
        assert outcome(await site.ask(shown, "GET", path, sent)) == "no"


@pytest.mark.parametrize("login", list(WITHOUT_CERTIFICATE))
async def test_the_certificate_of_a_proxy_gives_its_clients_nothing(tmp_path: Path, login: str) -> None:
    async with certificate_site(tmp_path, RULES, ["anna"], {"trusted_proxies": ["127.0.0.1"]}) as site:
        shown = site.ca.issue("host-12")
        # Nor does a token that was issued over such a connection.
        sent = [] if login == "token of another connection" else await header(site, login)
        ping, hosts, acme = WITHOUT_CERTIFICATE["none" if login == "token of another connection" else login]
        assert outcome(await site.ask(shown, "GET", "/v2/", sent)) == ping
        assert await outcomes(site, shown, "hosts/a", sent) == {hosts}
        assert await outcomes(site, shown, "acme/a", sent) == {acme}


async def test_a_connection_ends_with_its_certificate(site: CertificateSite) -> None:
    shown = site.ca.issue("host-12")
    revoked = "the certificate CN=host-12 has been revoked; fix: have a new certificate issued"
    with capture_logs() as lines:
        async with site.connect(shown) as connection:
            await connection.send("GET", "/v2/hosts/a/tags/list")
            assert (await connection.receive()).status == 404
            site.revoke(shown)
            await connection.send("GET", "/v2/hosts/a/tags/list")
            answer = await connection.receive()
            assert (answer.status, answer.code) == (403, "DENIED")
            assert answer.json["errors"][0]["message"] == revoked
            assert await connection.ended()
    told = [(line["client"], line["reason"]) for line in lines if line["event"] == "client certificate refused"]
    assert told == [("127.0.0.1", revoked)]


async def test_handshakes_and_open_connections_follow_the_files(tmp_path: Path) -> None:
    async with certificate_site(tmp_path, RULES, handshakes_follow=True) as site:
        host, other = site.ca.issue("host-12"), site.ca.issue("host-13")
        async with site.connect(host) as open_one, site.connect(other) as open_other:
            site.revoke(host)
            await open_one.send("GET", "/v2/hosts/a/tags/list")
            assert (await open_one.receive()).status == 403
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await site.ask(host, "GET", "/v2/hosts/a/tags/list")
            await open_other.send("GET", "/v2/hosts/a/tags/list")
            assert (await open_other.receive()).status == 404
        assert (await site.ask(other, "GET", "/v2/hosts/a/tags/list")).status == 404


async def test_without_tls_there_are_no_certificates(site: CertificateSite) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.plain_port)
    connection = Connection(reader, writer)
    await connection.send("GET", "/v2/hosts/a/tags/list", [("X-Client-Certificate", "CN=host-12")])
    assert outcome(await connection.receive()) == "login"
    await connection.send("GET", "/v2/acme/a/tags/list", [basic("anna")])
    assert outcome(await connection.receive()) == "may"
    writer.close()


async def test_a_certificate_of_a_new_ca_is_known_on_connections_that_are_open(site: CertificateSite) -> None:
    shown, other = site.ca.issue("host-12"), ClientCa("others")
    async with site.connect(shown) as connection:
        await connection.send("GET", "/v2/hosts/a/tags/list")
        assert (await connection.receive()).status == 404
        (site.folder / "clients.crl").write_bytes(site.ca.revoked() + other.revoked())
        site.trust(other, site.ca)
        await connection.send("GET", "/v2/hosts/a/tags/list")
        assert (await connection.receive()).status == 404


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ("cert:CN=host-12", []),
        ("cert:CN=*", []),
        ("cert:*", []),
        ("*", []),
        ("cert:DNS=*.example", [x509.DNSName("Host-12.example")]),
        ("cert:URI=spiffe://site/*", [x509.UniformResourceIdentifier("spiffe://site/host-12")]),
        ("cert:EMAIL=ops@example.org", [x509.RFC822Name("ops@Example.org")]),
    ],
)
async def test_each_name_of_a_certificate_may_be_in_a_rule(
    tmp_path: Path, rule: str, names: list[x509.GeneralName]
) -> None:
    access = [{"users": [rule], "repositories": ["acme/*"], "actions": ["pull"]}]
    async with certificate_site(tmp_path, access) as site:
        shown = site.ca.issue("host-12", *names)
        assert (await site.ask(shown, "GET", "/v2/acme/a/tags/list")).status == 404
        assert (await site.ask(shown, "GET", "/v2/other/tags/list")).status == 403
        assert (await site.ask(None, "GET", "/v2/acme/a/tags/list")).status == 403


async def test_a_client_with_the_name_of_a_user_has_none_of_its_rights(site: CertificateSite) -> None:
    for name in ("anna", "cert:CN=host-1", "host-1\nanna"):
        assert await outcomes(site, site.ca.issue(name), "acme/a", []) == {"login"}
        assert await outcomes(site, site.ca.issue(name), "hosts/a", []) == {"login"}


async def test_without_users_nobody_is_asked_to_log_in(tmp_path: Path) -> None:
    async with certificate_site(tmp_path, RULES) as site:
        for shown, hosts in ((None, "no"), (site.ca.issue("other"), "no"), (site.ca.issue("host-12"), "may")):
            assert outcome(await site.ask(shown, "GET", "/v2/")) == "may"
            assert await outcomes(site, shown, "hosts/a", []) == {hosts}
            assert await outcomes(site, shown, "hosts/a", [basic("anna")]) == {hosts}
        refused = await site.ask(None, "GET", "/v2/hosts/a/tags/list")
        assert refused.json["errors"][0]["message"] == (
            "pull of hosts/a needs a client certificate with this right by a rule under access: in the configuration"
        )
        refused = await site.ask(site.ca.issue("other"), "GET", "/v2/hosts/a/tags/list")
        assert refused.json["errors"][0]["message"] == (
            "cert:CN=other may not pull hosts/a; fix: add a rule under access: in the configuration"
        )


async def test_certificates_count_where_logins_are_switched_off(tmp_path: Path) -> None:
    async with certificate_site(tmp_path, RULES, ["anna"], {"logins": False}) as site:
        for shown, hosts in ((None, "no"), (site.ca.issue("host-12"), "may")):
            assert outcome(await site.ask(shown, "GET", "/v2/")) == "may"
            assert await outcomes(site, shown, "hosts/a", [basic("anna")]) == {hosts}


async def test_a_challenge_says_what_would_help(site: CertificateSite) -> None:
    async def message(shown: Issued | None) -> str:
        return str((await site.ask(shown, "GET", "/v2/acme/a/tags/list")).json["errors"][0]["message"])

    login = "pull of acme/a needs a login: docker login mirror, "
    assert await message(None) == f"{login}or a client certificate with this right"
    assert await message(site.ca.issue("host-12")) == f"{login}because cert:CN=host-12 lacks this right"


async def test_a_wrong_password_is_wrong_with_a_certificate_too(site: CertificateSite) -> None:
    for target in ("/v2/", "/v2/hosts/a/tags/list", "/token"):
        assert (await site.ask(site.ca.issue("host-12"), "GET", target, [basic("anna", "wrong word")])).status == 401


async def test_a_list_shows_what_the_certificate_may_pull(site: CertificateSite) -> None:
    host = site.ca.issue("host-12")
    for name, sent in (("hosts/a", []), ("acme/a", [basic("anna")])):
        target = f"/v2/{name}/blobs/uploads/?digest={EMPTY}"
        assert (await site.ask(host, "POST", target, [*sent, ("Content-Length", "0")])).status == 201
    shown = {
        sent: (await site.ask(certificate, "GET", "/v2/_catalog", [basic("anna")] if sent else [])).json
        for certificate, sent in ((host, False), (host, True))
    }
    assert shown == {False: {"repositories": ["hosts/a"]}, True: {"repositories": ["acme/a", "hosts/a"]}}
    assert outcome(await site.ask(site.ca.issue("other"), "GET", "/v2/_catalog")) == "may"
    assert outcome(await site.ask(None, "GET", "/v2/_catalog")) == "login"


async def test_a_blob_is_mounted_from_where_the_certificate_may_pull(site: CertificateSite) -> None:
    host = site.ca.issue("host-12")
    target = f"/v2/hosts/a/blobs/uploads/?digest={EMPTY}"
    assert (await site.ask(host, "POST", target, [("Content-Length", "0")])).status == 201
    mount = f"/v2/acme/a/blobs/uploads/?mount={EMPTY}&from=hosts/a"
    assert (await site.ask(None, "POST", mount, [basic("anna")])).status == 202
    assert (await site.ask(host, "POST", mount, [basic("anna")])).status == 201
