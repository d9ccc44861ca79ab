"""Clients with certificates: decisions and reports, web pages, tokens, quotas, and the log."""

from __future__ import annotations

import json
from pathlib import Path

import jwt
import pytest
from structlog.testing import capture_logs

from mirror.access.certificates.client_names import identity_of
from mirror.access.login_metrics import LOGINS
from mirror.oci import Digest
from tests.support.certificate_site import CertificateSite, basic, certificate_site
from tests.support.client_certificates import Issued
from tests.support.served import Answer, digest

DIGEST = Digest.of(b"a plugin")
EMPTY = digest(b"")
RULES = [
    {"users": ["cert:CN=host-*"], "repositories": ["hosts/**"], "actions": ["pull", "push"]},
    {"users": ["cert:CN=sec"], "repositories": ["acme/**"], "actions": ["approve"]},
    {"users": ["cert:CN=watch"], "repositories": ["**"], "actions": ["operate"]},
    {"users": ["anna"], "repositories": ["acme/**"], "actions": ["pull", "push"]},
    {"users": ["root"], "repositories": ["**"], "actions": ["approve", "operate"]},
]
OUTSIDE = {"listen": "0.0.0.0:5000"}


async def approve(
    site: CertificateSite, shown: Issued | None, *headers: tuple[str, str], name: str = "acme/driver", **sent: str
) -> Answer:
    body = json.dumps({"reference": f"{name}@{DIGEST}", **sent}).encode()
    return await site.ask(shown, "POST", "/api/v1/admission/approve", headers, body)


def message(answer: Answer) -> str:
    return str(answer.json["errors"][0]["message"])


@pytest.mark.parametrize("users", [[], ["anna", "root"]])
async def test_a_rule_may_let_a_certificate_operate_and_approve(tmp_path: Path, users: list[str]) -> None:
    async with certificate_site(tmp_path, RULES, users, OUTSIDE) as site:
        refused = 401 if users else 403  # a login might help where there are users
        for name, hosts, decided in (
            ("watch", 200, refused),
            ("sec", refused, 200),
            ("host-12", refused, refused),
            (None, refused, refused),
        ):
            shown = None if name is None else site.ca.issue(name)
            assert (await site.ask(shown, "GET", "/api/v1/hosts")).status == hosts
            assert (await approve(site, shown)).status == decided
        assert (await approve(site, site.ca.issue("sec"), name="other/driver")).status == 403


async def test_a_client_decides_in_its_own_name(tmp_path: Path) -> None:
    async with certificate_site(tmp_path, RULES, ["root"], OUTSIDE) as site:
        sec = site.ca.issue("sec")
        token = await site.token(sec, "repository:acme/driver:approve")
        for headers in ([], [token]):
            decided = await approve(site, sec, *headers)
            assert [one["decided_by"] for one in decided.json["admissions"]] == ["cert:CN=sec"]
            assert (await approve(site, sec, *headers, by="anna")).status == 403
        decided = await approve(site, sec, basic("root"))
        assert [one["decided_by"] for one in decided.json["admissions"]] == ["root"]


async def test_a_login_without_the_right_keeps_that_of_the_certificate(tmp_path: Path) -> None:
    async with certificate_site(tmp_path, RULES, ["anna"], OUTSIDE) as site:
        assert (await site.ask(site.ca.issue("watch"), "GET", "/api/v1/hosts", [basic("anna")])).status == 200
        assert (await site.ask(site.ca.issue("sec"), "GET", "/api/v1/hosts", [basic("anna")])).status == 403


async def test_a_program_on_the_machine_of_a_server_without_users_keeps_its_rights(tmp_path: Path) -> None:
    async with certificate_site(tmp_path, RULES) as site:
        here = ("Host", f"127.0.0.1:{site.port}")
        for name in ("host-12", "sec"):
            async with site.connect(site.ca.issue(name)) as connection:
                connection.writer.write(f"GET /api/v1/hosts HTTP/1.1\r\n{': '.join(here)}\r\n\r\n".encode())
                assert (await connection.receive()).status == 200


async def test_what_a_certificate_lacks_is_said_without_users(tmp_path: Path) -> None:
    async with certificate_site(tmp_path, RULES, (), OUTSIDE) as site:
        assert message(await approve(site, site.ca.issue("host-12"))) == (
            "cert:CN=host-12 may not approve; fix: add a rule under access: in the configuration"
        )
        assert message(await approve(site, None)) == (
            "approve needs the login of a user, or a client certificate, with this right by a rule under access: in "
            "the configuration"
        )


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://mirror", "https://mirror.evil.example"])
@pytest.mark.parametrize("headers", [[], [("Content-Type", "text/plain")]])
async def test_a_page_of_another_site_changes_nothing_with_a_certificate(
    tmp_path: Path, origin: str, headers: list[tuple[str, str]]
) -> None:
    async with certificate_site(tmp_path, RULES, ["anna"], OUTSIDE) as site:
        sent, host = [("Origin", origin), *headers], site.ca.issue("host-12")
        assert (await approve(site, site.ca.issue("sec"), *sent)).status == 403
        upload = await site.ask(host, "POST", "/v2/hosts/a/blobs/uploads/", sent)
        assert (upload.status, upload.code) == (403, "DENIED")
        assert message(upload) == (
            f"a web page of {origin} may not change anything with the client certificate cert:CN=host-12; fix: send "
            "the request without the header Origin, or from a page of this server"
        )
        for method in ("PUT", "DELETE"):
            assert (await site.ask(host, method, "/v2/hosts/a/manifests/1", sent)).status == 403
        assert (await site.ask(host, "GET", "/v2/hosts/a/tags/list", sent)).status == 404


@pytest.mark.parametrize(
    ("url", "origin"),
    [(None, "https://mirror"), ("https://plugins.example/registry", "https://plugins.example")],
)
async def test_a_page_of_the_server_itself_may(tmp_path: Path, url: str | None, origin: str) -> None:
    async with certificate_site(tmp_path, RULES, ["anna"], OUTSIDE | ({"url": url} if url else {})) as site:
        assert (await approve(site, site.ca.issue("sec"), ("Origin", origin))).status == 200


async def test_a_token_has_the_scopes_that_the_certificate_allows_and_brings_none_of_them(tmp_path: Path) -> None:
    async with certificate_site(tmp_path, RULES, ["anna"]) as site:
        host, scopes = site.ca.issue("host-12"), ["repository:hosts/a:pull,push", "repository:acme/a:pull"]
        for headers, granted in (
            ([], {"hosts/a": ["pull", "push"]}),
            ([basic("anna")], {"hosts/a": ["pull", "push"], "acme/a": ["pull"]}),
        ):
            name, sent = await site.token(host, *scopes, headers=headers)
            claims = jwt.decode(sent.removeprefix("Bearer "), options={"verify_signature": False})
            assert {entry["name"]: entry["actions"] for entry in claims["access"]} == granted
            assert "cert:" not in json.dumps(claims)
            assert (await site.ask(host, "GET", "/v2/hosts/a/tags/list", [(name, sent)])).status == 404
            for other in (None, site.ca.issue("other")):
                assert (await site.ask(other, "GET", "/v2/hosts/a/tags/list", [(name, sent)])).status in {401, 403}


async def test_what_a_client_pushes_counts_for_its_first_name(tmp_path: Path) -> None:
    quotas = [{"user": "cert:CN=host-12", "bytes": 10}, {"user": "*", "bytes": 1000}]
    async with certificate_site(tmp_path, RULES, ["anna"], quotas=quotas) as site:

        async def push(name: str, *headers: tuple[str, str]) -> Answer:
            content = f"twenty bytes of {name}".encode()
            target = f"/v2/hosts/a/blobs/uploads/?digest={digest(content)}"
            return await site.ask(site.ca.issue(name), "POST", target, headers, content)

        refused = await push("host-12")
        assert (refused.status, message(refused).partition(":CN=")[0]) == (403, "quota of user cert")
        assert (await push("host-13")).status == 201
        assert (await push("host-12", basic("anna"))).status == 201  # a login counts before a certificate


async def test_the_log_names_the_client_and_the_user(tmp_path: Path) -> None:
    with capture_logs() as lines:
        async with certificate_site(tmp_path, RULES, ["anna"]) as site:
            hosts = [None, site.ca.issue("host-12"), site.ca.issue("b\nad")]
            for shown in hosts:
                for headers in ([], [basic("anna")]):
                    await site.ask(shown, "GET", "/v2/hosts/a/tags/list", headers)
            await site.token(hosts[1], "repository:hosts/a:pull")
    unnamed = identity_of(hosts[2].certificate).name
    assert unnamed.startswith("cert:SHA256=")
    assert [(line.get("user"), line.get("certificate")) for line in lines if line["event"] == "request"] == [
        (None, None),
        ("anna", None),
        ("cert:CN=host-12", None),
        ("anna", "cert:CN=host-12"),
        (unnamed, None),
        ("anna", unnamed),
        ("cert:CN=host-12", None),
    ]


async def test_certificates_are_not_counted_as_logins(tmp_path: Path) -> None:
    async with certificate_site(tmp_path, RULES, ["anna"]) as site:
        await site.ask(site.ca.issue("host-12"), "GET", "/v2/hosts/a/tags/list")
        await site.token(site.ca.issue("host-12"), "repository:hosts/a:pull")
        page = (await site.ask(None, "GET", "/metrics")).body.decode()
    counts = [line.rsplit(" ", 1)[1] for line in page.splitlines() if line.startswith(f"{LOGINS.name}{{")]
    assert set(counts) == {"0.0"}


async def test_reports_are_for_callers_who_may_list_without_a_certificate(tmp_path: Path) -> None:
    everything = [{"users": ["cert:*"], "repositories": ["**"], "actions": ["pull"]}]
    for anonymous, status in ([], 403), (["pull"], 200):
        (folder := tmp_path / str(status)).mkdir()
        async with certificate_site(folder, everything, (), {"anonymous": anonymous}) as site:
            for shown in (None, site.ca.issue("host-12")):
                assert (await site.ask(shown, "GET", "/api/v1/mirrors")).status == status


async def test_a_read_only_server_reads_for_certificates_alone(tmp_path: Path) -> None:
    async with certificate_site(tmp_path, RULES, ["anna"], {"read_only": True}) as site:
        host = site.ca.issue("host-12")
        assert (await site.ask(host, "GET", "/v2/hosts/a/tags/list")).status == 404
        assert (await site.ask(host, "POST", "/v2/hosts/a/blobs/uploads/")).status == 405


async def test_a_request_for_another_registry_is_unknown_with_a_certificate_too(tmp_path: Path) -> None:
    async with certificate_site(tmp_path, RULES, ["anna"], {"namespaces": ["docker.io"]}) as site:
        host = site.ca.issue("host-12")
        for query, status in (("ns=quay.io", 404), ("ns=docker.io", 404)):
            assert (await site.ask(host, "GET", f"/v2/hosts/a/tags/list?{query}")).status == status
            assert (await site.ask(host, "GET", f"/v2/acme/a/tags/list?{query}")).status == status
