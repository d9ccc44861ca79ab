"""An upstream below a path of its host, and Docker Hub's names."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mirror.oci import Repository, Tag
from mirror.oci.errors import UpstreamProtocolError
from mirror.registry.port import Registry
from mirror.upstream.http.upstream_urls import UpstreamUrls
from mirror.upstream.registry import UpstreamRegistry
from mirror.upstream.short_name_registry import ShortNameRegistry
from mirror.wire.pagination import PageRequest
from tests.support.scripted_server import Reply, ScriptedServer
from tests.unit.upstream.conftest import QUICK
from tests.unit.upstream.content import (
    BLOB,
    BLOB_PATH,
    DESCRIBED,
    DIGEST,
    MANIFEST,
    MANIFEST_DIGEST,
    REPOSITORY,
    ROOT,
    TAG,
    TAG_PATH,
    UPLOADS_PATH,
    index,
    tags,
)

PREFIX = "/repository/docker"
FOUND = Reply(200, MANIFEST, DESCRIBED)
SHORT, LIBRARY = Repository("busybox"), "/v2/library/busybox"


@pytest.fixture
async def below(server: ScriptedServer) -> AsyncIterator[UpstreamRegistry]:
    async with UpstreamRegistry.open(
        name="nexus", url=f"{server.url}{PREFIX}/", plain_http=True, policy=QUICK
    ) as opened:
        yield opened


@pytest.fixture
async def hub(server: ScriptedServer) -> AsyncIterator[Registry]:
    async with ShortNameRegistry.open(name="hub", url=server.url, plain_http=True, policy=QUICK) as opened:
        yield opened


async def test_every_request_goes_below_the_path(server: ScriptedServer, below: UpstreamRegistry) -> None:
    server.on(
        f"GET {PREFIX}{TAG_PATH}",
        Reply(401, headers={"WWW-Authenticate": f'Bearer realm="{server.url}/token"'}),
        FOUND,
    )
    ask = f"GET /token?scope=repository:{REPOSITORY}:pull"
    server.on(ask, Reply(200, b'{"token": "abc"}'))
    server.on(f"GET {PREFIX}{BLOB_PATH}", Reply(307, headers={"Location": "/elsewhere"}))
    server.on("GET /elsewhere", Reply(200, BLOB))
    assert (await below.get_manifest(REPOSITORY, TAG)).digest == MANIFEST_DIGEST
    async with below.open_blob(REPOSITORY, DIGEST) as blob:
        assert b"".join([chunk async for chunk in blob]) == BLOB
    assert server.lines == [
        f"GET {PREFIX}{TAG_PATH}",
        ask,
        f"GET {PREFIX}{TAG_PATH}",
        f"GET {PREFIX}{BLOB_PATH}",
        "GET /elsewhere",
    ]


@pytest.mark.parametrize(
    "location",
    [f"{PREFIX}{UPLOADS_PATH}1?a=b%2Fc", f"{UPLOADS_PATH}1?a=b%2Fc", "1?a=b%2Fc", "{url}" + f"{UPLOADS_PATH}1?a=b%2Fc"],
    ids=["path", "path that lost its prefix", "relative", "URL that lost its prefix"],
)
async def test_uploads_stay_below_the_path(server: ScriptedServer, below: UpstreamRegistry, location: str) -> None:
    there = f"{PREFIX}{UPLOADS_PATH}1?a=b%2Fc"
    begun = {"Location": location.format(url=server.url)}
    server.on(f"POST {PREFIX}{UPLOADS_PATH}", Reply(202, headers=begun))
    server.on(f"GET {there}", Reply(204, headers={**begun, "Range": "0-2"}))
    server.on(f"PUT {there}&digest={DIGEST}", Reply(201))
    upload = await below.begin_upload(REPOSITORY)
    again = await below.resume_upload(REPOSITORY, upload.id)
    assert again.offset == 3
    await again.commit(DIGEST)


@pytest.mark.parametrize(
    ("base", "location", "followed"),
    [
        ("https://hub.example", "http://hub.example/a?b=%2F", "https://hub.example/a?b=%2F"),
        ("https://hub.example:5000", "http://hub.example:5000/a", "https://hub.example:5000/a"),
        ("https://hub.example:5000", "http://hub.example/a", "https://hub.example:5000/a"),
        ("https://hub.example", "http://hub.example:80/a", "https://hub.example/a"),
        ("https://hub.example", "http://hub.example:443/a", "https://hub.example/a"),
        ("http://hub.example", "http://hub.example/a", "http://hub.example/a"),
        ("https://hub.example", "http://hub.example:8080/a", None),
        ("https://hub.example", "http://other.example/a", None),
    ],
)
def test_the_own_host_stays_encrypted(base: str, location: str, followed: str | None) -> None:
    addresses = UpstreamUrls("hub", base, plain_http=True)
    if followed is not None:
        assert str(addresses.follow(addresses.absolute("/v2/"), location)) == followed
        return
    with pytest.raises(UpstreamProtocolError, match="not encrypted"):
        addresses.follow(addresses.absolute("/v2/"), location)


async def test_pages_stay_below_the_path(server: ScriptedServer, below: UpstreamRegistry) -> None:
    server.on(f"GET {PREFIX}{ROOT}/tags/list?n=1000", tags("a", link=f"<{ROOT}/tags/list?last=a>; rel=next"))
    server.on(f"GET {PREFIX}{ROOT}/tags/list?last=a", tags("b"))
    assert (await below.list_tags(REPOSITORY, PageRequest())).entries == (Tag("a"), Tag("b"))


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io"])
def test_the_names_of_docker_hub_lead_to_its_registry(host: str) -> None:
    assert str(UpstreamUrls("hub", f"https://{host}", plain_http=False).base) == "https://registry-1.docker.io"


async def test_short_names_are_sent_as_long_names(server: ScriptedServer, hub: Registry) -> None:
    wanted = Reply(401, headers={"WWW-Authenticate": f'Bearer realm="{server.url}/token"'})
    server.on(f"HEAD {LIBRARY}/manifests/1.0", wanted, FOUND)
    server.on("GET /token?scope=repository:library/busybox:pull", Reply(200, b'{"token": "abc"}'))
    server.on(f"GET {LIBRARY}/manifests/1.0", FOUND)
    server.on(f"GET {LIBRARY}/tags/list?n=1000", tags("1.0"))
    server.on(f"GET {LIBRARY}/referrers/{MANIFEST_DIGEST}", Reply(200, index()))
    server.on(f"HEAD {LIBRARY}/blobs/{DIGEST}", Reply(200, BLOB))
    server.on(f"GET {LIBRARY}/blobs/{DIGEST}", Reply(200, BLOB))
    assert (await hub.resolve(SHORT, TAG)).digest == MANIFEST_DIGEST
    assert (await hub.get_manifest(SHORT, TAG)).digest == MANIFEST_DIGEST
    assert (await hub.list_tags(SHORT, PageRequest())).entries == (TAG,)
    assert (await hub.list_referrers(SHORT, MANIFEST_DIGEST, None, PageRequest())).entries == ()
    assert (await hub.stat_blob(SHORT, DIGEST)).size_bytes == len(BLOB)
    async with hub.open_blob(SHORT, DIGEST) as blob:
        assert b"".join([chunk async for chunk in blob]) == BLOB


async def test_changes_go_to_the_long_name(server: ScriptedServer, hub: Registry) -> None:
    server.on(f"POST {LIBRARY}/blobs/uploads/", Reply(202, headers={"Location": f"{LIBRARY}/blobs/uploads/1"}))
    server.on(f"GET {LIBRARY}/blobs/uploads/1", Reply(204, headers={"Range": "0-2"}))
    mount = f"POST {LIBRARY}/blobs/uploads/?mount={DIGEST}&from=library/alpine"
    server.on(mount, Reply(404))
    server.on(f"DELETE {LIBRARY}/manifests/1.0", Reply(202))
    server.on(f"DELETE {LIBRARY}/manifests/{MANIFEST_DIGEST}", Reply(202))
    server.on(f"DELETE {LIBRARY}/blobs/{DIGEST}", Reply(202))
    upload = await hub.begin_upload(SHORT)
    assert (await hub.resume_upload(SHORT, upload.id)).offset == 3
    assert await hub.mount_blob(SHORT, DIGEST, Repository("alpine")) is None
    await hub.delete_tag(SHORT, TAG)
    await hub.delete_manifest(SHORT, MANIFEST_DIGEST)
    await hub.delete_blob(SHORT, DIGEST)
    assert len(server.lines) == 6


async def test_other_names_stay(server: ScriptedServer, hub: Registry) -> None:
    server.on(f"GET {TAG_PATH}", FOUND)
    await hub.get_manifest(REPOSITORY, TAG)
    assert server.lines == [f"GET {TAG_PATH}"]
