"""Requests to a bucket. The only module that uses obstore's operations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import obstore
from obstore.store import S3Store

from mirror.oci.errors import StorageDamaged
from mirror.oci.remote_storage_errors import BucketFault, BucketUnreachable
from mirror.store.bucket.bucket_counts import BucketCounts
from mirror.store.bucket.bucket_faults import ObjectMissing, bucket_faults, unreachable

if TYPE_CHECKING:
    from obstore.store import S3Config

#: An object has at most 10,000 parts.
_MOST_PARTS: Final = 9000
_LEAST_PART_BYTES: Final = 8 * 1024 * 1024
_PARTS_AT_ONCE: Final = 4
#: Bounds on memory: each large write holds its parts, each small write its whole content.
_LARGE_WRITES: Final = 4
_SMALL_WRITES: Final = 16
#: Bytes of a piece that a read yields, except the last one.
_PIECE_BYTES: Final = 256 * 1024
_CONNECT_SECONDS: Final = 5
#: Longest silence of the server: before its answer, and between two pieces of it. A part must be sent within it.
_SILENCE_SECONDS: Final = 60
#: Longest time of a request without a body.
_SHORT_SECONDS: Final = 15
_RETRIES: Final = 2
_RETRY_FOR: Final = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """Place of a bucket, and who asks for its objects.

    Attributes:
        name: name of the bucket.
        prefix: beginning of all keys, without slashes at its ends; empty for none.
        endpoint: URL of the server; empty for that of AWS.
        region: region of the bucket; empty for that of the environment.
        access_key_id: public name of the key; empty for the credentials of the environment or of the machine.
        secret_key: the key.
        session_token: token of temporary credentials.
    """

    name: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    access_key_id: str = ""
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """The place as ``s3://BUCKET/PREFIX``."""
        return f"s3://{self.name}/{self.prefix}".rstrip("/")


class ListedObject(NamedTuple):
    """An object in a list of the bucket."""

    key: str
    size_bytes: int
    changed_at: datetime


class Bucket:
    """Objects in a bucket, by keys without the prefix.

    Args:
        access: the place and the credentials.

    Attributes:
        counts: the requests so far.
    """

    def __init__(self, access: BucketAccess) -> None:
        self.access = access
        self.counts = BucketCounts()
        self._store = _opened(access)
        self._large, self._small = asyncio.Semaphore(_LARGE_WRITES), asyncio.Semaphore(_SMALL_WRITES)

    async def put_file(self, key: str, file: Path, size_bytes: int) -> None:
        """Write a file under a new key, and check that the bucket holds all of it.

        Raises:
            BucketUnreachable, BucketFault: the bucket failed. The object may exist.
        """
        part_bytes = max(_LEAST_PART_BYTES, -(-size_bytes // _MOST_PARTS))
        async with self._large if size_bytes > part_bytes else self._small:
            try:
                async with self._request("put", "write an object"):
                    # Never with mode="create": such a request holds the whole content in memory, twice.
                    await obstore.put_async(
                        self._store, key, file, chunk_size=part_bytes, max_concurrency=_PARTS_AT_ONCE
                    )
            except BucketUnreachable:
                # The answer may be lost, and the object complete. Nobody else writes under this key.
                if await self.find_size(key) != size_bytes:
                    raise
        held_bytes = await self.find_size(key)
        if held_bytes != size_bytes:
            raise unreachable("write an object", self.access.name, f"it holds {held_bytes} of {size_bytes} bytes")
        self.counts.sent_bytes += size_bytes

    async def put(self, key: str, content: bytes) -> None:
        """Write a small object. Raises as :meth:`put_file`."""
        async with self._request("put", "write an object", _SHORT_SECONDS):
            await obstore.put_async(self._store, key, content, use_multipart=False)

    async def find(self, key: str) -> bytes | None:
        """Return a small object; None if there is none. Raises BucketUnreachable, BucketFault."""
        try:
            async with self._request("get", "read an object", _SHORT_SECONDS):
                return bytes(await (await obstore.get_async(self._store, key)).bytes_async())
        except ObjectMissing:
            return None

    async def find_size(self, key: str) -> int | None:
        """Return the size of an object in bytes; None if there is none. Raises BucketUnreachable, BucketFault."""
        try:
            async with self._request("head", "look for an object", _SHORT_SECONDS):
                return (await obstore.head_async(self._store, key))["size"]
        except ObjectMissing:
            return None

    async def read(self, key: str, start: int = 0) -> tuple[int, AsyncIterator[bytes]]:
        """Open an object for reading from a byte on.

        Returns:
            The size of the whole object, and the bytes from ``start`` on. Iterating raises as this does.

        Raises:
            StorageDamaged: the bucket has no such object.
            BucketUnreachable, BucketFault: the bucket failed.
        """
        try:
            async with self._request("get", "read an object"):
                options = {"range": {"offset": start}} if start else {}
                found = await obstore.get_async(self._store, key, options=cast("Any", options))
        except ObjectMissing as error:
            raise StorageDamaged(f"bucket {self.access.name} has no object {key}") from error
        return found.meta["size"], self._pieces(found)

    async def _pieces(self, found: obstore.GetResult) -> AsyncIterator[bytes]:
        pieces = found.stream(min_chunk_size=_PIECE_BYTES).__aiter__()
        while True:
            with self._counted("read an object"):
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    return
            self.counts.received_bytes += len(piece)
            yield bytes(piece)

    async def delete(self, key: str) -> None:
        """Delete an object. A missing one is no error. Raises BucketUnreachable, BucketFault."""
        try:
            async with self._request("delete", "delete an object", _SHORT_SECONDS):
                await obstore.delete_async(self._store, key)
        except ObjectMissing:
            return

    async def list_objects(self, prefix: str) -> AsyncIterator[ListedObject]:
        """Yield the objects whose keys begin with a path. Raises BucketUnreachable, BucketFault."""
        pages = self._store.list(prefix=prefix, chunk_size=1000).__aiter__()
        while True:
            async with self._request("list", "list objects"):
                try:
                    page = await anext(pages)
                except StopAsyncIteration:
                    return
            for each in page:
                yield ListedObject(each["path"], each["size"], each["last_modified"])

    @asynccontextmanager
    async def _request(self, operation: str, doing: str, timeout_seconds: float | None = None) -> AsyncIterator[None]:
        self.counts.requests[operation] += 1
        with self._counted(doing):
            async with asyncio.timeout(timeout_seconds):
                yield

    @contextmanager
    def _counted(self, doing: str) -> Iterator[None]:
        try:
            with bucket_faults(doing, self.access.name):
                yield
        except BucketFault as error:
            self.counts.failures[error.reason] += 1
            raise


def _opened(access: BucketAccess) -> S3Store:
    config: S3Config = {
        # The server compares the bytes with what was read from the disk, and refuses others.
        "checksum_algorithm": "SHA256",
        "disable_bulk_delete": True,  # one object at a time, which every server knows
    }
    if access.endpoint:
        config["endpoint"] = access.endpoint
    if access.region:
        config["region"] = access.region
    if access.access_key_id:
        config["access_key_id"], config["secret_access_key"] = access.access_key_id, access.secret_key
        if access.session_token:
            config["session_token"] = access.session_token
    return S3Store(
        access.name,
        prefix=access.prefix or None,
        config=config,
        client_options={
            "allow_http": access.endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
            "read_timeout": timedelta(seconds=_SILENCE_SECONDS),
            "timeout": timedelta(days=7),  # of a whole request; the silence is what counts
        },
        retry_config={
            "max_retries": _RETRIES,
            "retry_timeout": _RETRY_FOR,
            "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=2), "base": 2},
        },
    )
