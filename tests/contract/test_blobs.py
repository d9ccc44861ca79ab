"""Blobs: read completely and in part, mounted, deleted."""

import random

import pytest

from mirror.oci import Digest, Repository
from mirror.oci.errors import BlobUnknown, RangeInvalid
from mirror.oci.media_types import OCTET_STREAM
from mirror.registry.port import Registry
from mirror.wire.ranges import RangeRequest, Span
from tests.support.builders import ABSENT, OTHER, REPOSITORY, push_blob, push_image, read_blob

CONTENT = random.Random(7).randbytes(3 * 1024 * 1024 + 17)


@pytest.mark.parametrize("content", [b"", b"x", CONTENT], ids=["empty", "one byte", "over 3 MiB"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_a_pushed_blob_is_read_back(registry: Registry, content: bytes, algorithm: str) -> None:
    pushed = await push_blob(registry, content, algorithm=algorithm)

    assert pushed.digest == Digest.of(content, algorithm)
    assert await registry.stat_blob(REPOSITORY, pushed.digest) == pushed
    assert (pushed.media_type, pushed.size_bytes) == (OCTET_STREAM, len(content))
    assert await read_blob(registry, pushed.digest) == content


async def test_an_open_blob_says_what_it_is(registry: Registry) -> None:
    pushed = await push_blob(registry, CONTENT)

    async with registry.open_blob(REPOSITORY, pushed.digest, RangeRequest(10, 19)) as blob:
        assert (blob.size_bytes, blob.span) == (len(CONTENT), Span(10, 20))
        if blob.file is not None:
            blob.file.seek(10)
            assert blob.file.read(10) == CONTENT[10:20]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (RangeRequest(0, 0), CONTENT[:1]),
        (RangeRequest(500, 1499), CONTENT[500:1500]),
        (RangeRequest(1_000_000, 2_500_000), CONTENT[1_000_000:2_500_001]),
        (RangeRequest(500, None), CONTENT[500:]),
        (RangeRequest(None, 500), CONTENT[-500:]),
        (RangeRequest(None, 10**12), CONTENT),
        (RangeRequest(len(CONTENT) - 1, 10**12), CONTENT[-1:]),
        (RangeRequest(0, None), CONTENT),
    ],
    ids=lambda value: str(value) if isinstance(value, RangeRequest) else f"{len(value)} bytes",
)
async def test_a_range_of_a_blob(registry: Registry, part: RangeRequest, expected: bytes) -> None:
    pushed = await push_blob(registry, CONTENT)

    assert await read_blob(registry, pushed.digest, part=part) == expected


@pytest.mark.parametrize("part", [RangeRequest(5, None), RangeRequest(5, 9), RangeRequest(None, 0)], ids=str)
async def test_a_range_outside_the_blob(registry: Registry, part: RangeRequest) -> None:
    pushed = await push_blob(registry, b"12345")

    with pytest.raises(RangeInvalid):
        async with registry.open_blob(REPOSITORY, pushed.digest, part):
            pass


async def test_no_range_of_an_empty_blob_exists(registry: Registry) -> None:
    pushed = await push_blob(registry, b"")

    with pytest.raises(RangeInvalid):
        async with registry.open_blob(REPOSITORY, pushed.digest, RangeRequest(0, None)):
            pass


@pytest.mark.parametrize("repository", [REPOSITORY, OTHER], ids=["another blob is there", "nothing is there"])
async def test_an_unknown_blob(registry: Registry, repository: Repository) -> None:
    await push_blob(registry, b"something else")

    with pytest.raises(BlobUnknown):
        await registry.stat_blob(repository, ABSENT)
    with pytest.raises(BlobUnknown):
        async with registry.open_blob(repository, ABSENT):
            pass
    with pytest.raises(BlobUnknown):
        await registry.delete_blob(repository, ABSENT)


async def test_a_blob_belongs_to_its_repository(registry: Registry) -> None:
    pushed = await push_blob(registry, b"mine", REPOSITORY)
    await push_blob(registry, b"something else", OTHER)

    with pytest.raises(BlobUnknown):
        await registry.stat_blob(OTHER, pushed.digest)


async def test_a_manifest_is_not_a_blob(registry: Registry) -> None:
    pushed = await push_image(registry, "image")

    with pytest.raises(BlobUnknown):
        await registry.stat_blob(REPOSITORY, pushed.digest)


async def test_the_same_blob_twice(registry: Registry) -> None:
    first = await push_blob(registry, b"twice")

    assert await push_blob(registry, b"twice") == first
    assert await read_blob(registry, first.digest) == b"twice"


@pytest.mark.parametrize("source", [REPOSITORY, None], ids=["from a repository", "from anywhere"])
async def test_a_mounted_blob(registry: Registry, source: Repository | None) -> None:
    pushed = await push_blob(registry, b"shared")

    assert await registry.mount_blob(OTHER, pushed.digest, source) == pushed
    assert await read_blob(registry, pushed.digest, OTHER) == b"shared"


@pytest.mark.parametrize("source", [REPOSITORY, Repository("no/such"), None], ids=str)
async def test_a_blob_that_cannot_be_mounted(registry: Registry, source: Repository | None) -> None:
    await push_blob(registry, b"something else", REPOSITORY)

    assert await registry.mount_blob(OTHER, ABSENT, source) is None
    with pytest.raises(BlobUnknown):
        await registry.stat_blob(OTHER, ABSENT)


async def test_a_blob_is_not_mounted_from_where_it_is_not(registry: Registry) -> None:
    pushed = await push_blob(registry, b"elsewhere", REPOSITORY)
    await push_blob(registry, b"something else", Repository("a/third"))

    assert await registry.mount_blob(OTHER, pushed.digest, Repository("a/third")) is None


async def test_deleting_a_blob_leaves_mounted_copies(registry: Registry) -> None:
    pushed = await push_blob(registry, b"shared")
    await registry.mount_blob(OTHER, pushed.digest, REPOSITORY)

    await registry.delete_blob(REPOSITORY, pushed.digest)

    with pytest.raises(BlobUnknown):
        await registry.stat_blob(REPOSITORY, pushed.digest)
    assert await read_blob(registry, pushed.digest, OTHER) == b"shared"


async def test_a_deleted_blob_may_be_pushed_again(registry: Registry) -> None:
    pushed = await push_blob(registry, b"back again")
    await registry.delete_blob(REPOSITORY, pushed.digest)
    assert await registry.mount_blob(OTHER, pushed.digest, None) is None

    await push_blob(registry, b"back again")

    assert await read_blob(registry, pushed.digest) == b"back again"
    await registry.delete_blob(REPOSITORY, pushed.digest)
    with pytest.raises(BlobUnknown):
        await registry.delete_blob(REPOSITORY, pushed.digest)
