"""A short life of a store: every kind of change once. Each change can be repeated after a failure."""

import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta

import pytest

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, DigestInvalid, NotFound, RepositoryUnknown
from mirror.oci.media_types import OCTET_STREAM
from mirror.registry.streams import single_chunk
from mirror.store.registry import Store
from mirror.wire.pagination import PageRequest
from tests.support.builders import in_chunks, manifest_of, read_blob
from tests.torture import model
from tests.torture.model import Change, RepositoryState

Step = tuple[str, Callable[[Store], Awaitable[None]], Change | None]

_ABSENT = Digest.of(b"nobody has ever pushed this")


class Story:
    """Changes to one repository, and to a second one that mounts from the first. The number makes the names unique.

    Attributes:
        known: the states that the repository may have.
    """

    def __init__(self, number: int) -> None:
        self._name = Repository(f"story/{number}")
        self.known = model.Repository(str(self._name))
        contents = random.Random(number)
        self._small = contents.randbytes(5_000)
        self._large = contents.randbytes(1_300_000)
        self._claimed = contents.randbytes(700)
        self._blobs = {Digest.of(content): content for content in (self._small, self._large, self._claimed)}
        layers = [{"mediaType": OCTET_STREAM, "digest": str(Digest.of(self._large)), "size": len(self._large)}]
        config = {"mediaType": OCTET_STREAM, "digest": str(Digest.of(self._small)), "size": len(self._small)}
        self._image = manifest_of({"config": config, "layers": layers})
        index_type = "application/vnd.oci.image.index.v1+json"
        self._index = manifest_of({"manifests": [], "annotations": {"number": str(number)}}, index_type)

    def steps(self) -> Iterator[Step]:
        """Return the changes in order: the name, the function, and the effect on the repository."""
        small, large, claimed = (str(Digest.of(content)) for content in (self._small, self._large, self._claimed))
        image, index = str(self._image.digest), str(self._index.digest)
        needs = [small, large]
        yield "push", lambda store: self._push(store, self._small), model.hold_blob(small)
        yield "push in chunks", self._push_in_chunks, model.hold_blob(large)
        yield "bring what is missing", self._bring, model.hold_blob(claimed)
        yield "push another digest", self._push_another_digest, None
        yield "put an image", self._put(self._image, "1", "latest"), model.put_manifest(image, ["1", "latest"], needs)
        yield "mount", self._mount, None
        yield "move a tag", self._put(self._index, "latest"), model.put_manifest(index, ["latest"])
        yield "push again", lambda store: self._push(store, self._small), model.hold_blob(small)
        yield "cancel", self._cancel, None
        yield "delete a tag", lambda store: store.delete_tag(self._name, Tag("1")), model.drop_tag("1")
        drop = model.drop_manifest(image)
        yield "delete a manifest", lambda store: store.delete_manifest(self._name, self._image.digest), drop
        digest = Digest.of(self._large)
        yield "delete a blob", lambda store: store.delete_blob(self._name, digest), model.drop_blob(large)
        yield "push what was deleted", lambda store: self._push(store, self._large), model.hold_blob(large)
        yield "put what was deleted", self._put(self._image, "1"), model.put_manifest(image, ["1"], needs)
        yield "expire", expire, None

    async def look(self, store: Store) -> RepositoryState:
        """Read everything that the repository holds, and compare every byte."""
        blobs = set()
        for digest, content in self._blobs.items():
            with suppress(BlobUnknown):
                assert await read_blob(store, digest, self._name) == content
                blobs.add(str(digest))
        manifests = set()
        for manifest in (self._image, self._index):
            with suppress(NotFound):
                assert (await store.get_manifest(self._name, manifest.digest)).content == manifest.content
                manifests.add(str(manifest.digest))
        tags = set()
        with suppress(RepositoryUnknown):
            for tag in (await store.list_tags(self._name, PageRequest())).entries:
                tags.add((tag.name, str((await store.resolve(self._name, tag)).digest)))
        return RepositoryState(frozenset(blobs), frozenset(manifests), frozenset(tags))

    async def _push(self, store: Store, content: bytes) -> None:
        upload = await store.begin_upload(self._name)
        await upload.append(in_chunks(content, 400_000))
        await upload.commit(Digest.of(content))

    async def _push_in_chunks(self, store: Store) -> None:
        begun = await store.begin_upload(self._name)
        for chunk in _thirds(self._large):
            upload = await store.resume_upload(self._name, begun.id)
            await upload.append(in_chunks(chunk, 100_000))
        upload = await store.resume_upload(self._name, begun.id)
        await upload.commit(Digest.of(self._large))

    async def _bring(self, store: Store) -> None:
        lease = await store.downloads.claim_download(self._name, Digest.of(self._claimed))
        assert lease is not None
        try:
            await lease.append(single_chunk(self._claimed[lease.offset :]), lambda: None)
            await lease.verify()
            await lease.commit()
        finally:
            await lease.release()

    async def _push_another_digest(self, store: Store) -> None:
        upload = await store.begin_upload(self._name)
        await upload.append(single_chunk(self._claimed))
        with pytest.raises(DigestInvalid):
            await upload.commit(_ABSENT)

    async def _cancel(self, store: Store) -> None:
        upload = await store.begin_upload(self._name)
        await upload.append(single_chunk(self._large))
        await upload.cancel()

    async def _mount(self, store: Store) -> None:
        borrower = Repository(f"{self._name}/borrower")
        digest = Digest.of(self._small)
        assert await store.mount_blob(borrower, digest, self._name) is not None
        assert await read_blob(store, digest, borrower) == self._small

    def _put(self, manifest: Manifest, *tags: str) -> Callable[[Store], Awaitable[None]]:
        return lambda store: store.put_manifest(self._name, manifest, [Tag(tag) for tag in tags])


async def expire(store: Store) -> None:
    """Let all upload sessions expire."""
    await store.uploads.expire(timedelta(days=-1))


def _thirds(content: bytes) -> Iterable[bytes]:
    step = len(content) // 3 + 1
    return (content[start : start + step] for start in range(0, len(content), step))
