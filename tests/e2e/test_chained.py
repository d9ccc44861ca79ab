"""Registries chained behind the mirror: docker-registry as a pull-through cache, and a second mirror."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection

import pytest

from tests.harness import plugins
from tests.harness.docker_registry import DockerRegistry
from tests.harness.mirror import Mirror
from tests.harness.packing import PackedPlugin, digest_of, pack
from tests.harness.pulling import NAME, TAG, manifest, sections, take
from tests.harness.pushing import push
from tests.harness.requirement import require
from tests.harness.server import Server

pytestmark = [pytest.mark.e2e, pytest.mark.long]

READERS = {"anonymous": ["pull"]}


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> PackedPlugin:
    return pack(plugins.contiv_plugin(tmp_path_factory.mktemp("chained") / "plugin", payload_size_bytes=1_200_000))


@pytest.fixture
def upstream(plugin: PackedPlugin) -> Iterator[DockerRegistry]:
    require(DockerRegistry.missing())
    with DockerRegistry() as registry:
        push(plugin, registry.url, NAME, TAG)
        yield registry


def head(port: int, digest: str) -> tuple[int, int]:
    """Return status and length of a blob."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("HEAD", f"/v2/{NAME}/blobs/{digest}")
        answer = connection.getresponse()
        return answer.status, int(answer.headers["Content-Length"])
    finally:
        connection.close()


def chained(kind: str, url: str) -> Server:
    if kind == "docker-registry":
        return DockerRegistry(more={"proxy": {"remoteurl": url}})
    return Mirror(sections=sections(url, server=READERS))


@pytest.mark.parametrize("kind", ["docker-registry", "mirror"])
@pytest.mark.parametrize("anonymous", [["pull"], ["pull", "push"]])
def test_a_registry_behind_the_mirror_pulls_through_it(
    upstream: DockerRegistry, plugin: PackedPlugin, kind: str, anonymous: list[str]
) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(Mirror(sections=sections(upstream.url, server={"anonymous": anonymous})))
        second = stack.enter_context(chained(kind, first.url))
        status, headers, content = manifest(second.url)
        assert (status, content) == (200, plugin.manifest)
        assert headers["Docker-Content-Digest"] == plugin.manifest_digest
        for digest in (plugin.config_digest, plugin.layer_digest):
            assert digest_of(take(second.port, digest).content) == digest
        with urllib.request.urlopen(f"{second.url}/v2/{NAME}/tags/list", timeout=60) as answer:
            assert json.load(answer)["tags"] == [TAG]


@pytest.mark.parametrize("kind", ["docker-registry", "mirror"])
def test_a_blob_without_its_manifest_is_found_by_readers(
    upstream: DockerRegistry, plugin: PackedPlugin, kind: str
) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(Mirror(sections=sections(upstream.url, server=READERS)))
        assert head(first.port, plugin.layer_digest) == (200, len(plugin.layer))
        assert not list(first.data.glob("blobs/sha256/*/*")), "HEAD fetches nothing"
        assert head(first.port, digest_of(b"absent"))[0] == 404
        second = stack.enter_context(chained(kind, first.url))
        assert head(second.port, plugin.layer_digest) == (200, len(plugin.layer))
        assert digest_of(take(second.port, plugin.layer_digest).content) == plugin.layer_digest


def test_a_push_uploads_what_the_upstream_has(upstream: DockerRegistry, plugin: PackedPlugin) -> None:
    with Mirror(sections=sections(upstream.url)) as mirror:
        assert head(mirror.port, plugin.layer_digest)[0] == 404
        push(plugin, mirror.url, NAME, "pushed")
        assert manifest(mirror.url, target="pushed")[2] == plugin.manifest


def test_a_push_may_rely_on_blobs_that_a_pulled_manifest_names(upstream: DockerRegistry, plugin: PackedPlugin) -> None:
    with Mirror(sections=sections(upstream.url)) as mirror:
        assert manifest(mirror.url)[0] == 200
        assert head(mirror.port, plugin.layer_digest)[0] == 200  # so the client does not upload the layer
        push(plugin, mirror.url, NAME, "pushed")
        assert manifest(mirror.url, target="pushed")[2] == plugin.manifest
        upstream.stop()
        assert digest_of(take(mirror.port, plugin.layer_digest).content) == plugin.layer_digest
