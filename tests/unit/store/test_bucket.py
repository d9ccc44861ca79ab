"""Requests to a bucket: a real S3 server, and a proxy that makes faults."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from mirror.oci.errors import StorageDamaged
from mirror.oci.remote_storage_errors import BucketFault, BucketUnreachable
from mirror.store.bucket import bucket as bucket_module
from mirror.store.bucket.bucket import Bucket, BucketAccess
from tests.harness.bucket_proxy import BucketProxy, Fault
from tests.harness.bucket_server import BucketServer
from tests.support.buckets import new_bucket, through

LARGE = bytes(range(256)) * 72 * 1024  # 18 MiB, three parts


@pytest.fixture
def access(bucket_server: BucketServer) -> BucketAccess:
    return new_bucket(bucket_server)


@pytest.fixture
async def proxy(bucket_server: BucketServer) -> AsyncIterator[BucketProxy]:
    async with BucketProxy(bucket_server.url) as opened:
        yield opened


@pytest.fixture
def bucket(access: BucketAccess, proxy: BucketProxy, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket behind the proxy."""
    monkeypatch.setattr(bucket_module, "_RETRIES", 0)
    return Bucket(through(access, proxy.url))


async def read(bucket: Bucket, key: str, start: int = 0) -> bytes:
    _, pieces = await bucket.read(key, start)
    return b"".join([piece async for piece in pieces])


def written(folder: Path, content: bytes) -> Path:
    file = folder / "content"
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("content", [b"", b"small", LARGE], ids=["empty", "small", "parts"])
async def test_a_file_is_written_and_read_back(bucket: Bucket, tmp_path: Path, content: bytes) -> None:
    await bucket.put_file("a/b", written(tmp_path, content), len(content))
    assert await bucket.find_size("a/b") == len(content)
    assert await read(bucket, "a/b") == content
    assert await read(bucket, "a/b", len(content) // 3) == content[len(content) // 3 :]
    assert bucket.counts.sent_bytes == len(content)


async def test_the_content_of_a_missing_object(bucket: Bucket) -> None:
    assert await bucket.find("a/b") is None
    assert await bucket.find_size("a/b") is None
    await bucket.delete("a/b")
    with pytest.raises(StorageDamaged, match="no object a/b"):
        await bucket.read("a/b")


async def test_keys_are_below_the_prefix(bucket: Bucket, bucket_server: BucketServer, access: BucketAccess) -> None:
    await bucket.put("a/b", b"content")
    assert [each[:2] async for each in bucket.list_objects("a")] == [("a/b", 7)]
    assert bucket_server.request("GET", f"/{access.name}/{access.prefix}/a/b") == b"content"
    await bucket.delete("a/b")
    assert [each async for each in bucket.list_objects("a")] == []


@pytest.mark.parametrize("fault", [Fault.GONE, Fault.SILENT, Fault.SLOW_DOWN], ids=lambda fault: fault.value)
async def test_a_bucket_that_is_not_reachable(
    access: BucketAccess, proxy: BucketProxy, tmp_path: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault is Fault.SILENT:  # the others end at once, however long the bucket may be silent
        monkeypatch.setattr(bucket_module, "_SILENCE_SECONDS", 3)
    monkeypatch.setattr(bucket_module, "_RETRIES", 0)
    bucket = Bucket(through(access, proxy.url))
    await bucket.put("a/b", b"content")
    proxy.break_all(fault)
    file = written(tmp_path, b"content")
    for request in (bucket.find_size("a/b"), bucket.find("a/b"), bucket.read("a/b"), bucket.put_file("a/c", file, 7)):
        with pytest.raises(BucketUnreachable, match="fix: ") as caught:
            await request
        assert caught.value.detail["retry_after_seconds"] == "5"
    proxy.break_all(None)  # it goes on without anybody's help
    assert await bucket.find("a/b") == b"content"
    assert bucket.counts.failures == {"bucket": 0, "bucket_unreachable": 5}


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.TWICE], ids=lambda fault: fault.value)
@pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "parts"])
async def test_an_answer_that_is_lost_or_comes_twice(
    bucket: Bucket, proxy: BucketProxy, tmp_path: Path, fault: Fault, content: bytes
) -> None:
    ends = ("POST", "uploadId=") if content is LARGE else ("PUT", "/a/b")
    proxy.fault = lambda method, path: fault if method == ends[0] and ends[1] in path else None
    await bucket.put_file("a/b", written(tmp_path, content), len(content))
    assert await read(bucket, "a/b") == content


async def test_an_answer_that_stops_in_the_middle_ends(
    access: BucketAccess, proxy: BucketProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "_SILENCE_SECONDS", 3)
    monkeypatch.setattr(bucket_module, "_RETRIES", 0)
    bucket = Bucket(through(access, proxy.url))
    await bucket.put_file("a/b", written(tmp_path, LARGE[:100_000]), 100_000)
    proxy.hold.clear()
    _, pieces = await bucket.read("a/b")
    with pytest.raises(BucketUnreachable):
        async for _ in pieces:
            pass


async def test_an_answer_that_ends_early_is_no_content(bucket: Bucket, proxy: BucketProxy, tmp_path: Path) -> None:
    await bucket.put_file("a/b", written(tmp_path, LARGE), len(LARGE))
    proxy.fault = lambda method, _path: Fault.TRUNCATED if method == "GET" else None
    with pytest.raises(BucketUnreachable):
        await read(bucket, "a/b")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": "no-such-bucket"}, "does not exist; fix: create it"),
        ({"secret_key": "wrong"}, "refuses the signature; fix: correct the key"),
        ({"access_key_id": "wrong"}, "knows no such access key; fix: correct"),
    ],
)
async def test_a_bucket_that_refuses(access: BucketAccess, wrong: dict[str, str], told: str) -> None:
    with pytest.raises(BucketFault, match=told) as caught:
        await Bucket(replace(access, **wrong)).put("a/b", b"content")
    assert not caught.value.temporary


async def test_a_wrong_clock(bucket: Bucket, proxy: BucketProxy) -> None:
    proxy.break_all(Fault.SKEWED)
    with pytest.raises(BucketFault, match="another time than this machine; fix: set the clocks"):
        await bucket.put("a/b", b"content")


def test_no_message_shows_a_secret(access: BucketAccess) -> None:
    assert access.secret_key not in repr(access)
