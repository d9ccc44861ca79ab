"""Our upstream client with registries that require a login, speak TLS, are slow, or store blobs elsewhere."""

from __future__ import annotations

import asyncio
import json
import random
import stat
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import bcrypt
import pytest
import trustme

from mirror.oci import Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import ManifestUnknown, UpstreamProtocolError, UpstreamRefused
from mirror.registry.memory import MemoryRegistry
from mirror.registry.streams import single_chunk
from mirror.runtime.retry_policy import RetryPolicy
from mirror.transfer.copy_engine import copy_graph
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import SilentProgress
from mirror.upstream.auth.credentials import Credentials
from mirror.upstream.auth.login_files import FileLogin, LoginSource
from mirror.upstream.http.tls_context import Tls
from mirror.upstream.limits.upstream_policy import UpstreamPolicy
from mirror.upstream.registry import UpstreamRegistry
from tests.harness.docker_registry import DockerRegistry
from tests.harness.nginx import Nginx
from tests.harness.packing import packed_from
from tests.harness.requirement import require
from tests.harness.token_server import TokenServer
from tests.support.clocks import ShiftedClock

pytestmark = pytest.mark.e2e

PRIVATE, PUBLIC, TAG = Repository("store/contiv/v2plugin"), Repository("public/v2plugin"), Tag("1.0.0-beta.3")
PACKED = packed_from(b'{"Description": "a plugin"}\n', random.Random(4).randbytes(3_000_000))
PLUGIN = Manifest.parse(PACKED.manifest, media_types.DOCKER_MANIFEST)
QUICK = UpstreamPolicy(retry=RetryPolicy(attempts=2, first_delay_seconds=0.01))
LOGIN = Credentials("jimmy", "pass:w0rd")


@pytest.fixture(autouse=True)
def registry_is_installed() -> None:
    require(DockerRegistry.missing())


@asynccontextmanager
async def opened(
    registry: DockerRegistry, login: LoginSource | None = None, tls: Tls | None = None
) -> AsyncIterator[UpstreamRegistry]:
    async with UpstreamRegistry.open(
        name="hub",
        url=registry.url,
        plain_http=registry.url.startswith("http:"),
        login=login,
        tls=tls or Tls(),
        policy=QUICK,
    ) as upstream:
        yield upstream


async def push(upstream: UpstreamRegistry, repository: Repository = PRIVATE) -> None:
    for blob in (PACKED.config, PACKED.layer):
        upload = await upstream.begin_upload(repository)
        await upload.append(single_chunk(blob))
        await upload.commit(Digest.of(blob))
    await upstream.put_manifest(repository, PLUGIN, [TAG])


async def pull(upstream: UpstreamRegistry, repository: Repository = PRIVATE) -> None:
    here = MemoryRegistry()
    await copy_graph(CopySource(upstream, repository), TAG, CopyDestination(here, repository), [TAG], SilentProgress())
    assert (await here.get_manifest(repository, TAG)).content == PACKED.manifest


def htpasswd(folder: Path) -> dict[str, object]:
    hashed = bcrypt.hashpw(LOGIN.password.encode(), bcrypt.gensalt(4)).decode()
    (folder / "htpasswd").write_text(f"{LOGIN.username}:{hashed}\n")
    return {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}


def docker_config(folder: Path, content: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(content))
    return path


async def test_basic(tmp_path: Path) -> None:
    with DockerRegistry(more={"auth": htpasswd(tmp_path)}) as registry:
        pair = b64encode(f"{LOGIN.username}:{LOGIN.password}".encode()).decode()
        config = docker_config(tmp_path, {"auths": {registry.host: {"auth": pair}}})
        for login in (LOGIN, FileLogin.docker(config, registry.host)):
            async with opened(registry, login) as upstream:
                await push(upstream)
                await pull(upstream)
        for wrong in (None, Credentials("jimmy", "wrong"), Credentials("nobody", LOGIN.password)):
            async with opened(registry, wrong) as upstream:
                with pytest.raises(UpstreamRefused, match=r"401.*(with user|no login is configured).*; fix: "):
                    await upstream.get_manifest(PRIVATE, TAG)


async def test_basic_by_a_credential_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-e2e"
    answer = json.dumps({"Username": LOGIN.username, "Secret": LOGIN.password})
    helper.write_text(f"#!/bin/sh\n[ \"$1\" = get ] && echo '{answer}'\n")
    helper.chmod(helper.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with DockerRegistry(more={"auth": htpasswd(tmp_path)}) as registry:
        config = docker_config(tmp_path, {"credHelpers": {registry.host: "e2e"}})
        async with opened(registry, FileLogin.docker(config, registry.host)) as upstream:
            await push(upstream)
            await pull(upstream)


@pytest.mark.parametrize("by_post", [True, False], ids=["post", "get"])
async def test_tokens(tmp_path: Path, *, by_post: bool) -> None:
    with (
        TokenServer(tmp_path, {LOGIN.username: LOGIN.password}, post=by_post) as tokens,
        DockerRegistry(more={"auth": tokens.registry_section}) as registry,
    ):
        async with opened(registry, LOGIN) as upstream:
            await push(upstream)
            await push(upstream, PUBLIC)
            tokens.asked.clear()
            await pull(upstream)
            await pull(upstream)
            assert len({scopes for _, scopes, _ in tokens.asked}) == 1
            assert len(tokens.asked) == 1
        tokens.asked.clear()
        async with opened(registry) as nobody:
            await pull(nobody, PUBLIC)
            assert tokens.asked == [("GET", (f"repository:{PUBLIC}:pull",), None)]
            with pytest.raises(UpstreamRefused, match="no login is configured"):
                await nobody.get_manifest(PRIVATE, TAG)
        async with opened(registry, Credentials("jimmy", "wrong")) as upstream:
            with pytest.raises(UpstreamRefused, match="user jimmy; fix: check the password"):
                await upstream.get_manifest(PRIVATE, TAG)


async def test_an_identity_token(tmp_path: Path) -> None:
    with (
        TokenServer(tmp_path, {LOGIN.username: LOGIN.password}) as tokens,
        DockerRegistry(more={"auth": tokens.registry_section}) as registry,
    ):
        entry = {"auth": b64encode(b"<token>:").decode(), "identitytoken": LOGIN.password[::-1]}
        config = docker_config(tmp_path, {"auths": {registry.host: entry}})
        async with opened(registry, FileLogin.docker(config, registry.host)) as upstream:
            await push(upstream)
            await pull(upstream)
    assert {(method, user) for method, _, user in tokens.asked} == {("POST", LOGIN.username)}


async def test_mounting_takes_a_token_for_both_repositories(tmp_path: Path) -> None:
    with (
        TokenServer(tmp_path, {LOGIN.username: LOGIN.password}) as tokens,
        DockerRegistry(more={"auth": tokens.registry_section}) as registry,
    ):
        async with opened(registry, LOGIN) as upstream:
            await push(upstream)
            mounted = await upstream.mount_blob(PUBLIC, Digest.of(PACKED.layer), PRIVATE)
    assert mounted is not None
    assert mounted.size_bytes == len(PACKED.layer)


async def test_a_password_that_changes_while_we_run(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("old\n")
    with (
        TokenServer(tmp_path, {"jimmy": "old"}) as tokens,
        DockerRegistry(more={"auth": tokens.registry_section}) as registry,
    ):
        clock = ShiftedClock()
        async with opened(registry, FileLogin.password("jimmy", password, clock)) as upstream:
            await push(upstream)
            tokens.users["jimmy"] = "newer"
            password.write_text("newer\n")
            clock.advance(seconds=3)  # the file is looked at every two seconds
            await push(upstream, PUBLIC)
            await pull(upstream, PUBLIC)


async def test_tls_with_a_private_authority(tmp_path: Path) -> None:
    ca = trustme.CA()
    mine = ca.issue_cert("127.0.0.1")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    mine.private_key_pem.write_to_path(tmp_path / "key.pem")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    section = {"tls": {"certificate": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}}
    with DockerRegistry(more={"http": section}) as registry:
        async with opened(registry, tls=Tls(tmp_path / "ca.pem")) as upstream:
            await push(upstream)
            await pull(upstream)
        async with opened(registry) as upstream:
            with pytest.raises(UpstreamProtocolError, match="certificate is not trusted"):
                await upstream.get_manifest(PRIVATE, TAG)


async def test_blobs_on_another_host_are_fetched_without_our_login(tmp_path: Path) -> None:
    require(Nginx.missing())
    storage = tmp_path / "storage"
    storage.mkdir()
    more = {
        "auth": htpasswd(tmp_path),
        "storage": {"filesystem": {"rootdirectory": str(storage)}},
    }
    with Nginx.static(storage, address="127.0.0.2") as elsewhere:
        more["middleware"] = {"storage": [{"name": "redirect", "options": {"baseurl": f"{elsewhere.url}/"}}]}
        with DockerRegistry(more=more) as registry:
            async with opened(registry, LOGIN) as upstream:
                await push(upstream)
                await pull(upstream)
                hosts = [host.host for host in upstream.stats().hosts]
        log = elsewhere.access_log.read_text()
    assert hosts == [registry.url, elsewhere.url]
    assert f"/blobs/sha256/{Digest.of(PACKED.layer).hex[:2]}/" in log
    assert "jimmy" not in log


async def test_a_slow_line(tmp_path: Path) -> None:
    require(Nginx.missing())
    with DockerRegistry() as registry, Nginx.front(registry.url, limit_rate_bytes_per_second=2_000_000) as slow:
        async with opened(registry) as upstream:
            await push(upstream)
        begun = asyncio.get_running_loop().time()
        async with UpstreamRegistry.open(name="slow", url=slow.url, plain_http=True, policy=QUICK) as upstream:
            await pull(upstream)
        assert asyncio.get_running_loop().time() - begun > 1


async def test_a_redirect_to_a_registry_that_requires_a_token_of_its_own(tmp_path: Path) -> None:
    require(Nginx.missing())
    with (
        TokenServer(tmp_path, {LOGIN.username: LOGIN.password}) as tokens,
        DockerRegistry(more={"auth": tokens.registry_section}) as registry,
        Nginx(f"return 307 {registry.url}$request_uri;", workers=1) as front,
    ):
        async with opened(registry, LOGIN) as upstream:
            await push(upstream, PUBLIC)
        tokens.asked.clear()
        async with UpstreamRegistry.open(
            name="hub", url=f"http://{front.host}", plain_http=True, login=LOGIN, policy=QUICK
        ) as upstream:
            await pull(upstream, PUBLIC)
        assert tokens.asked == [("GET", (f"repository:{PUBLIC}:pull",), None)]


async def test_a_registry_that_hides_its_content_from_anonymous_clients(tmp_path: Path) -> None:
    """As Artifactory does: 404 without a login, and a challenge at ``/v2/`` only."""
    require(Nginx.missing())
    with DockerRegistry(more={"auth": htpasswd(tmp_path)}) as registry:
        proxy = f"proxy_pass {registry.url}; proxy_set_header Host $http_host; client_max_body_size 0;"
        hiding = f"{proxy} proxy_intercept_errors on; error_page 401 =404 /absent; }} location = /v2/ {{ {proxy}"
        with Nginx(hiding, workers=1) as front:
            url = f"http://{front.host}"
            async with UpstreamRegistry.open(
                name="hub", url=url, plain_http=True, login=LOGIN, policy=QUICK
            ) as upstream:
                await push(upstream)
                await pull(upstream)
            async with UpstreamRegistry.open(name="hub", url=url, plain_http=True, policy=QUICK) as nobody:
                with pytest.raises(ManifestUnknown):
                    await nobody.get_manifest(PRIVATE, TAG)
