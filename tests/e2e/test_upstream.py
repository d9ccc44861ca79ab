"""Our upstream client and copy engine with docker-registry."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator

import pytest

from mirror.oci import Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import (
    BlobUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestUnknown,
    RepositoryUnknown,
    Unsupported,
    UploadUnknown,
    UpstreamUnreachable,
)
from mirror.registry.memory import MemoryRegistry
from mirror.registry.streams import single_chunk
from mirror.runtime.retry_policy import RetryPolicy
from mirror.transfer.copy_engine import copy_graph
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import SilentProgress
from mirror.upstream.limits.upstream_policy import UpstreamPolicy
from mirror.upstream.registry import UpstreamRegistry
from mirror.wire.pagination import PageRequest
from mirror.wire.ranges import RangeRequest, Span
from tests.harness.docker_registry import DockerRegistry
from tests.harness.nginx import Nginx
from tests.harness.packing import packed_from
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

THERE, HERE, TAG = Repository("store/contiv/v2plugin"), Repository("contiv/v2plugin"), Tag("1.0.0-beta.3")
PACKED = packed_from(b'{"Description": "a plugin"}\n', random.Random(3).randbytes(5_000_000))
PLUGIN = Manifest.parse(PACKED.manifest, media_types.DOCKER_MANIFEST)
LAYER = Digest.of(PACKED.layer)
QUICK = UpstreamPolicy(retry=RetryPolicy(attempts=2, first_delay_seconds=0.01))


@pytest.fixture
def servers() -> Iterator[tuple[DockerRegistry, DockerRegistry]]:
    require(DockerRegistry.missing())
    with DockerRegistry() as first, DockerRegistry() as second:
        yield first, second


@pytest.fixture
async def hub(servers: tuple[DockerRegistry, DockerRegistry]) -> AsyncIterator[UpstreamRegistry]:
    """A registry that holds the plugin, pushed by our own writer."""
    async with UpstreamRegistry.open(name="hub", url=servers[0].url, plain_http=True, policy=QUICK) as opened:
        for blob in (PACKED.config, PACKED.layer):
            upload = await opened.begin_upload(THERE)
            await upload.append(single_chunk(blob))
            await upload.commit(Digest.of(blob))
        await opened.put_manifest(THERE, PLUGIN, [TAG, Tag("latest")])
        yield opened


@pytest.fixture
async def other(servers: tuple[DockerRegistry, DockerRegistry]) -> AsyncIterator[UpstreamRegistry]:
    async with UpstreamRegistry.open(name="other", url=servers[1].url, plain_http=True, policy=QUICK) as opened:
        yield opened


async def read(registry: UpstreamRegistry, repository: Repository, part: RangeRequest | None = None) -> bytes:
    async with registry.open_blob(repository, LAYER, part) as blob:
        return b"".join([chunk async for chunk in blob])


async def test_what_is_pushed_is_listed_and_read(hub: UpstreamRegistry) -> None:
    assert [tag.name for tag in (await hub.list_tags(THERE, PageRequest())).entries] == [TAG.name, "latest"]
    assert (await hub.list_repositories(PageRequest())).entries == (THERE,)
    assert await hub.resolve(THERE, TAG) == PLUGIN.descriptor
    assert (await hub.get_manifest(THERE, PLUGIN.digest)).content == PACKED.manifest
    assert (await hub.stat_blob(THERE, LAYER)).size_bytes == len(PACKED.layer)
    assert await read(hub, THERE) == PACKED.layer
    assert await read(hub, THERE, RangeRequest(1000, 1999)) == PACKED.layer[1000:2000]
    assert (await hub.list_referrers(THERE, PLUGIN.digest, None, PageRequest())).entries == ()


async def test_what_is_not_there(hub: UpstreamRegistry) -> None:
    with pytest.raises(RepositoryUnknown, match="NAME_UNKNOWN"):
        await hub.list_tags(HERE, PageRequest())
    with pytest.raises(ManifestUnknown, match="MANIFEST_UNKNOWN"):
        await hub.get_manifest(THERE, Tag("2"))
    with pytest.raises(ManifestUnknown):
        await hub.resolve(THERE, Tag("2"))
    with pytest.raises(BlobUnknown):
        await hub.stat_blob(HERE, LAYER)
    with pytest.raises(ManifestBlobUnknown):
        await hub.put_manifest(HERE, PLUGIN, [TAG])


async def test_uploads_in_chunks_resumed_and_ended(hub: UpstreamRegistry) -> None:
    upload = await hub.begin_upload(HERE)
    await upload.append(single_chunk(b"first "))
    again = await hub.resume_upload(HERE, upload.id)
    assert again.offset == 6
    await again.append(single_chunk(b"second"), Span(6, 12))
    assert (await again.commit(Digest.of(b"first second"))).size_bytes == 12
    wrong = await hub.begin_upload(HERE)
    with pytest.raises(DigestInvalid, match="DIGEST_INVALID"):
        await wrong.commit(LAYER)
    with pytest.raises(UploadUnknown):
        await hub.resume_upload(HERE, wrong.id)


async def test_mounting(hub: UpstreamRegistry) -> None:
    mounted = await hub.mount_blob(HERE, LAYER, THERE)
    assert mounted is not None
    assert mounted.size_bytes == len(PACKED.layer)
    assert await read(hub, HERE) == PACKED.layer
    assert await hub.mount_blob(Repository("third"), LAYER, Repository("nowhere")) is None


async def test_deleting(hub: UpstreamRegistry) -> None:
    with pytest.raises(Unsupported, match="the upstream cannot delete tags"):
        await hub.delete_tag(THERE, TAG)
    await hub.delete_manifest(THERE, PLUGIN.digest)
    await hub.delete_blob(THERE, LAYER)
    for deletion in (hub.delete_manifest(THERE, PLUGIN.digest), hub.get_manifest(THERE, TAG)):
        with pytest.raises(ManifestUnknown):
            await deletion
    with pytest.raises(BlobUnknown):
        await hub.delete_blob(THERE, LAYER)


async def test_from_one_registry_to_another(hub: UpstreamRegistry, other: UpstreamRegistry) -> None:
    origin, destination = CopySource(hub, THERE), CopyDestination(other, HERE)
    copied = await copy_graph(origin, TAG, destination, [TAG, Tag("again")], SilentProgress())
    assert copied.moved_bytes == len(PACKED.config) + len(PACKED.layer)
    for tag in (TAG, Tag("again")):
        assert (await other.get_manifest(HERE, tag)).content == PACKED.manifest
    assert await read(other, HERE) == PACKED.layer
    assert (await copy_graph(origin, TAG, destination, [TAG], SilentProgress())).moved_bytes == 0


async def test_what_was_copied_stays_when_the_upstream_is_gone(
    servers: tuple[DockerRegistry, DockerRegistry], hub: UpstreamRegistry
) -> None:
    here = MemoryRegistry()
    origin, destination = CopySource(hub, THERE), CopyDestination(here, HERE)
    await copy_graph(origin, TAG, destination, [TAG], SilentProgress())
    servers[0].stop()
    with pytest.raises(UpstreamUnreachable):
        await copy_graph(origin, TAG, destination, [TAG], SilentProgress())
    assert (await here.get_manifest(HERE, TAG)).content == PACKED.manifest


async def test_a_registry_below_a_path_of_a_proxy(servers: tuple[DockerRegistry, DockerRegistry]) -> None:
    """Nginx cuts the path off, so docker-registry sends every Location and Link without it."""
    require(Nginx.missing())
    outside = 'if ($request_uri !~ "^/repository/docker/v2/") { return 404; }'
    below = f"{outside} rewrite ^/repository/docker(/.*)$ $1 break; proxy_pass {servers[0].url}; "
    with Nginx(f"{below} proxy_set_header Host $http_host; client_max_body_size 0;", workers=1) as front:
        url = f"http://{front.host}/repository/docker"
        async with UpstreamRegistry.open(name="nexus", url=url, plain_http=True, policy=QUICK) as upstream:
            await copied_and_listed(upstream)


async def test_a_registry_behind_a_proxy_that_hides_head(servers: tuple[DockerRegistry, DockerRegistry]) -> None:
    require(Nginx.missing())
    hidden = "if ($request_method = HEAD) { return 404; }"
    front_of = f"{hidden} proxy_pass {servers[0].url}; proxy_set_header Host $http_host; client_max_body_size 0;"
    with Nginx(front_of, workers=1) as front:
        url = f"http://{front.host}"
        async with UpstreamRegistry.open(name="hub", url=url, plain_http=True, policy=QUICK) as upstream:
            await copied_and_listed(upstream)
            assert (await upstream.stat_blob(THERE, LAYER)).size_bytes == len(PACKED.layer)
            assert await upstream.resolve(THERE, TAG) == PLUGIN.descriptor
            assert set(upstream.stats().head_fallbacks) == {"manifest", "blob"}


async def copied_and_listed(upstream: UpstreamRegistry) -> None:
    """Copy a plugin to an upstream in chunks, list it, and copy it back."""
    for blob in (PACKED.config, PACKED.layer):
        upload = await upstream.begin_upload(THERE)
        await upload.append(single_chunk(blob[:10]))
        again = await upstream.resume_upload(THERE, upload.id)
        await again.append(single_chunk(blob[10:]))
        await again.commit(Digest.of(blob))
    await upstream.put_manifest(THERE, PLUGIN, [TAG, Tag("latest")])
    assert [tag.name for tag in (await upstream.list_tags(THERE, PageRequest())).entries] == [TAG.name, "latest"]
    assert (await upstream.list_repositories(PageRequest())).entries == (THERE,)
    here = MemoryRegistry()
    await copy_graph(CopySource(upstream, THERE), TAG, CopyDestination(here, HERE), [TAG], SilentProgress())
    assert (await here.get_manifest(HERE, TAG)).content == PACKED.manifest
