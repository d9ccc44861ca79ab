"""The registries that the contract tests run on. A new one is one more line in REGISTRIES."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from mirror.app.bucket.cold_reading import reading_cold
from mirror.oci import Digest, Repository
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Blob, Registry
from mirror.server.http_application import build
from mirror.server.http_server import Listener, listen, serving
from mirror.store.catalog.databases.postgresql_database import PostgresqlDatabase
from mirror.store.registry import Store
from mirror.upstream.http.tls_context import Tls
from mirror.upstream.registry import UpstreamRegistry
from mirror.wire.ranges import RangeRequest
from tests.harness.bucket_server import BucketServer
from tests.support.buckets import bucket_store, drop_cache, new_bucket
from tests.support.builders import RECEIVING
from tests.support.certificates import CertificateFiles, OneContext
from tests.support.databases import new_postgresql
from tests.support.pull_through import pulling
from tests.support.rebundled import RebundledRegistry


@asynccontextmanager
async def records(_folder: Path) -> AsyncIterator[Registry]:
    yield MemoryRegistry()


@asynccontextmanager
async def bundle(folder: Path) -> AsyncIterator[Registry]:
    yield RebundledRegistry(folder)


@asynccontextmanager
async def store(folder: Path) -> AsyncIterator[Registry]:
    async with Store.open(folder / "data") as opened:
        yield opened


@asynccontextmanager
async def store_in_postgresql(folder: Path) -> AsyncIterator[Registry]:
    async with Store.open(folder / "data", database=PostgresqlDatabase.at(new_postgresql())) as opened:
        yield opened


@asynccontextmanager
async def upstream(folder: Path, *, is_encrypted: bool = False) -> AsyncIterator[Registry]:
    listener = listen("127.0.0.1", 0)
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    application = build(MemoryRegistry())
    if is_encrypted:
        files = CertificateFiles.made(folder)
        files.ca.cert_pem.write_to_path(folder / "ca.crt")
        served = Listener(listener, OneContext(files.tls().context(datetime.now(UTC))))
        client = UpstreamRegistry.open(name="ours", url=f"https://{address}", tls=Tls(ca_file=folder / "ca.crt"))
    else:
        served = Listener(listener)
        client = UpstreamRegistry.open(name="ours", url=f"http://{address}", plain_http=True)
    async with serving(application, served), client as opened:
        RECEIVING[opened] = lambda: application.activity.uploading.count
        yield opened


@asynccontextmanager
async def pull_through(folder: Path) -> AsyncIterator[Registry]:
    """A pull-through registry in front of a store, with an empty upstream."""
    async with Store.open(folder / "data") as opened, pulling(opened) as world:
        yield world.registry


@asynccontextmanager
async def store_bucket(folder: Path, server: BucketServer) -> AsyncIterator[Registry]:
    """A store whose content is in a bucket, and whose cache has lost all files whenever a blob is read."""
    async with bucket_store(folder / "data", new_bucket(server)) as opened, reading_cold(opened):
        warm = opened.open_blob

        def cold(
            repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
        ) -> AbstractAsyncContextManager[Blob]:
            drop_cache(folder / "data")
            return warm(repository, digest, part, size_bytes)

        opened.open_blob = cold  # type: ignore[method-assign]
        yield opened


REGISTRIES: dict[str, Callable[[Path], AbstractAsyncContextManager[Registry]]] = {
    "bundle": bundle,
    "memory": records,
    "pull-through": pull_through,
    "store": store,
    "store-postgresql": store_in_postgresql,
    "upstream": upstream,
    "upstream-tls": partial(upstream, is_encrypted=True),
}


#: This registry needs a server.
BUCKET = "store-bucket"


@pytest.fixture(params=sorted([*REGISTRIES, BUCKET]))
async def registry(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Registry]:
    """An empty registry of each kind."""
    if request.param == BUCKET:
        server = request.getfixturevalue("bucket_server")
        async with store_bucket(tmp_path, server) as opened:
            yield opened
        return
    async with REGISTRIES[request.param](tmp_path) as opened:
        yield opened
