"""The mirror below a path of a real nginx, which strips the path or leaves it."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urljoin

import pytest

from mirror.wire.auth import challenges
from tests.harness import plugins
from tests.harness.command import run
from tests.harness.docker_registry import DockerRegistry
from tests.harness.mirror import PROGRAM, Mirror
from tests.harness.nginx import Nginx
from tests.harness.packing import MANIFEST_TYPE, PackedPlugin, digest_of, pack
from tests.harness.pulling import manifest, sections, take
from tests.harness.pushing import push, send
from tests.harness.requirement import require

pytestmark = [pytest.mark.e2e, pytest.mark.long]

BELOW = "/registry"
PASSWORD = "the pass:word"
NAME, TAG = "acme/driver", "1.0"
#: What an operator sets in a proxy that takes the path from the request.
FORWARDED = {
    "X-Forwarded-For": "$proxy_add_x_forwarded_for",
    "X-Forwarded-Host": "$http_host",
    "X-Forwarded-Proto": "$scheme",
    "X-Forwarded-Prefix": BELOW,
}


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> PackedPlugin:
    return pack(plugins.contiv_plugin(tmp_path_factory.mktemp("below") / "plugin", payload_size_bytes=1_200_000))


@contextmanager
def below(kind: str, **server: object) -> Iterator[tuple[Mirror, Nginx]]:
    """Serve a mirror below a path, in one of three ways."""
    require(Nginx.missing())
    behind = {"trusted_proxies": ["127.0.0.0/8"]} if kind == "header" else {}
    mirror = Mirror(sections={"server": behind | server})
    front = Nginx.front(
        mirror.url, below=BELOW, strips=kind != "left in the path", headers=FORWARDED if kind == "header" else {}
    )
    if kind != "header":
        mirror._sections["server"]["url"] = f"{front.url}{BELOW}"
    with mirror, front:
        yield mirror, front


def ask(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, Mapping[str, str], bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers or {})), timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.mark.parametrize("kind", ["header", "url, taken from the path", "left in the path"])
class TestBelowAPath:
    def test_a_push_a_pull_and_the_pages_of_lists(self, plugin: PackedPlugin, kind: str) -> None:
        with below(kind) as (mirror, front):
            base = f"{front.url}{BELOW}"
            push(plugin, base, NAME, TAG)
            push(plugin, base, NAME, "2.0")
            push(plugin, base, "acme/other", TAG)
            assert manifest(base, NAME, TAG)[2] == plugin.manifest
            status, headers, content = ask(f"{base}/v2/{NAME}/blobs/{plugin.layer_digest}")
            assert (status, digest_of(content)) == (200, plugin.layer_digest)
            for first, key in (
                (f"{base}/v2/{NAME}/tags/list?n=1", "tags"),
                (f"{base}/v2/_catalog?n=1", "repositories"),
            ):
                url, found = first, []
                while url:
                    status, headers, content = ask(url)
                    assert status == 200
                    found += json.loads(content)[key]
                    link = headers["Link"]
                    url = urljoin(url, link.partition("<")[2].partition(">")[0]) if link else ""
                assert found == (["1.0", "2.0"] if key == "tags" else ["acme/driver", "acme/other"])
            # A client that reaches the mirror without the proxy is served too.
            assert manifest(mirror.url, NAME, TAG)[2] == plugin.manifest

    def test_a_challenge_leads_to_the_token_below_the_path(self, kind: str) -> None:
        with below(kind, anonymous=[]) as (mirror, front):
            mirror.stop()
            run(
                [PROGRAM, "user", "add", "anna", "--password-stdin", "--config", str(mirror.config)],
                input_text=PASSWORD,
            )
            mirror.start()
            status, headers, _ = ask(f"{front.url}{BELOW}/v2/")
            (challenge,) = challenges.parse(headers["WWW-Authenticate"])
            realm = challenge.parameters["realm"]
            assert (status, realm) == (401, f"{front.url}{BELOW}/token")
            status, _, content = ask(f"{realm}?service={quote(challenge.parameters['service'])}")
            token = json.loads(content)["token"]
            assert (status, ask(f"{front.url}{BELOW}/v2/", {"Authorization": f"Bearer {token}"})[0]) == (200, 200)

    def test_another_mirror_copies_and_pulls_through_the_path(self, plugin: PackedPlugin, kind: str) -> None:
        with below(kind, anonymous=["pull", "push"]) as (mirror, front):
            push(plugin, mirror.url, NAME, TAG)
            sections = {
                "upstreams": {"far": {"url": f"{front.url}{BELOW}", "plain_http": True}},
                "mirrors": [{"name": "all", "from": "far/acme/*", "to": "copied/*"}],
                "proxy": [{"from": "far/**", "to": "pulled/**"}],
            }
            with Mirror(sections=sections) as chained:
                chained.command("sync")
                assert manifest(chained.url, "copied/driver", TAG)[2] == plugin.manifest
                assert manifest(chained.url, f"pulled/{NAME}", TAG)[2] == plugin.manifest
                content = take(chained.port, plugin.layer_digest, name=f"pulled/{NAME}").content
                assert digest_of(content) == plugin.layer_digest

    def test_docker_registry_pulls_through_the_path(self, plugin: PackedPlugin, kind: str) -> None:
        require(DockerRegistry.missing())
        with below(kind, anonymous=["pull", "push"]) as (mirror, front):
            push(plugin, mirror.url, NAME, TAG)
            with DockerRegistry(more={"proxy": {"remoteurl": f"{front.url}{BELOW}/"}}) as cache:
                assert manifest(cache.url, NAME, TAG)[2] == plugin.manifest
                assert digest_of(take(cache.port, plugin.layer_digest, name=NAME).content) == plugin.layer_digest

    def test_our_mirror_pulls_and_copies_from_below_the_path(
        self, plugin: PackedPlugin, kind: str, tmp_path: Path
    ) -> None:
        """The mirror below the path asks for a login, and needs two pages for its tags."""
        many = sorted(f"v{number}" for number in range(1001))
        access = [{"users": ["anna"], "repositories": ["**"], "actions": ["pull"]}]
        with below(kind, anonymous=["pull", "push"]) as (mirror, front):
            push(plugin, f"{front.url}{BELOW}", NAME, TAG)
            for start in range(0, len(many), 100):
                query = "&".join(f"tag={tag}" for tag in many[start : start + 100])
                url = f"{front.url}{BELOW}/v2/{NAME}/manifests/{plugin.manifest_digest}?{query}"
                send("PUT", url, plugin.manifest, MANIFEST_TYPE)
            mirror.stop()
            run(
                [PROGRAM, "user", "add", "anna", "--password-stdin", "--config", str(mirror.config)],
                input_text=PASSWORD,
            )
            mirror.configure(server={"anonymous": []}, access=access)
            mirror.start()
            assert ask(f"{mirror.url}/v2/")[0] == 401
            (tmp_path / "password").write_text(PASSWORD)
            chained = sections(f"{front.url}{BELOW}/")
            login = {"username": "anna", "password_file": str(tmp_path / "password")}
            chained["upstreams"]["hub"]["credentials"] = login
            rule = {"name": "copied", "from": f"hub/{NAME}", "to": "acme/copied", "tags": {"include": ["v99*"]}}
            chained["mirrors"] = [rule]
            with Mirror(sections=chained) as outer:
                assert manifest(outer.url, NAME, TAG)[2] == plugin.manifest
                assert digest_of(take(outer.port, plugin.layer_digest, name=NAME).content) == plugin.layer_digest
                outer.command("sync", "copied")
                for name, expected in (
                    (NAME, [TAG, *many]),
                    ("acme/copied", [tag for tag in many if tag.startswith("v99")]),
                ):
                    assert json.loads(ask(f"{outer.url}/v2/{name}/tags/list")[2])["tags"] == expected


def test_two_proxies_in_a_row_and_a_forged_header(plugin: PackedPlugin) -> None:
    """The client's own address counts, and neither the proxies' nor a forged one."""
    require(Nginx.missing())
    listed = {"X-Forwarded-For": "$proxy_add_x_forwarded_for"}
    server = {"trusted_proxies": ["127.0.0.2", "127.0.0.1/32"], "limits": {"upload_sessions_per_client": 1}}
    with Mirror(sections={"server": server}) as mirror:
        inner = Nginx.front(mirror.url, headers=listed)
        with inner, Nginx.front(inner.url, headers=listed) as outer:

            def begin(client: str) -> int:
                request = urllib.request.Request(
                    f"{outer.url}/v2/{NAME}/blobs/uploads/", b"", {"X-Forwarded-For": client}, method="POST"
                )
                try:
                    with urllib.request.urlopen(request, timeout=60) as answer:
                        return answer.status
                except urllib.error.HTTPError as error:
                    with error:
                        return error.code

            # Here the outer proxy adds 127.0.0.1 too, where the test runs: the client is the entry before.
            assert [begin(client) for client in ("192.0.2.1", "192.0.2.1", "192.0.2.2")] == [202, 429, 202]
            assert begin("203.0.113.9, 192.0.2.1") == 429
            assert begin("192.0.2.3, 127.0.0.1") == 202
