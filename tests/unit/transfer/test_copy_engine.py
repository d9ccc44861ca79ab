"""The copy engine between registries in memory that record their calls and fail where a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import (
    BlobUnknown,
    ManifestUnknown,
    StorageFull,
    UploadUnknown,
    UpstreamProtocolError,
    UpstreamUnreachable,
)
from mirror.oci.media_types import OCI_LAYER_GZIP
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.memory import MemoryBlob, MemoryRegistry
from mirror.registry.port import Blob
from mirror.registry.upload import Upload, UploadBody
from mirror.store.registry import Store
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.copy_engine import BLOBS_AT_ONCE, copy_graph
from mirror.transfer.graph import graph_reading
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import SilentProgress, TagOutcome
from mirror.wire.ranges import RangeRequest, Span
from tests.support.builders import described, hold, index, plugin

THERE, HERE, TAG = Repository("store/contiv/v2plugin"), Repository("contiv/v2plugin"), Tag("1.0")
CONFIG = b'{"Description": "a plugin"}\n'
LAYER = bytes(range(256)) * 2048
OTHER_LAYER = LAYER[::-1]
PLUGIN = plugin(CONFIG, LAYER)
OTHER = plugin(CONFIG, OTHER_LAYER)


class Source(DelegatingRegistry):
    """A source that records reads. A blob may break off or have other content than its digest says."""

    def __init__(self) -> None:
        super().__init__(MemoryRegistry())
        self.asked: list[str] = []
        self.open_now = 0
        self.open_at_most = 0
        self.breaks_at: int | None = None
        self.replaced: dict[Digest, bytes] = {}

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        self.asked.append(f"manifest {target if isinstance(target, Tag) else target.hex[:12]}")
        return await super().get_manifest(repository, target)

    def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        return self._open(repository, digest, part)

    @asynccontextmanager
    async def _open(self, repository: Repository, digest: Digest, part: RangeRequest | None) -> AsyncIterator[Blob]:
        self.asked.append(f"blob {digest.hex[:12]}" + (f" {part}" if part else ""))
        self.open_now += 1
        self.open_at_most = max(self.open_at_most, self.open_now)
        try:
            async with super().open_blob(repository, digest, part) as blob:
                await asyncio.sleep(0)
                if digest in self.replaced:
                    content = self.replaced[digest]
                    yield MemoryBlob(content, Span(part.first or 0 if part else 0, len(content)))
                else:
                    yield blob if self.breaks_at is None else Breaking(blob, self.breaks_at)
        finally:
            self.open_now -= 1


class Breaking:
    """A blob that raises an error after some bytes."""

    file = None

    def __init__(self, blob: Blob, breaks_at: int) -> None:
        self.size_bytes, self.span = blob.size_bytes, blob.span
        self._blob, self._breaks_at = blob, breaks_at

    async def __aiter__(self) -> AsyncIterator[bytes]:
        position = self.span.start
        async for chunk in self._blob:
            if position + len(chunk) > self._breaks_at:
                yield chunk[: max(self._breaks_at - position, 0)]
                raise UpstreamUnreachable("the line broke")
            position += len(chunk)
            yield chunk


class Goal(DelegatingRegistry):
    """A destination that records writes."""

    def __init__(self) -> None:
        super().__init__(MemoryRegistry())
        self.written: list[str] = []
        self.begun: list[Upload] = []

    async def begin_upload(
        self, repository: Repository, client: str | None = None, algorithm: str = "sha256"
    ) -> Upload:
        upload = await self.inner.begin_upload(repository, client, algorithm)
        self.begun.append(upload)
        return NotedUpload(self, upload)

    async def mount_blob(self, repository: Repository, digest: Digest, source: Repository | None) -> object:  # type: ignore[override]
        mounted = await self.inner.mount_blob(repository, digest, source)
        if mounted is not None:
            self.written.append(f"mount {digest.hex[:12]}")
        return mounted

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        self.written.append(f"manifest {manifest.digest.hex[:12]} {' '.join(str(tag) for tag in tags)}".strip())
        return await self.inner.put_manifest(repository, manifest, tags)


class NotedUpload:
    """An upload session that is recorded at its commit."""

    def __init__(self, goal: Goal, inner: Upload) -> None:
        self._goal, self._inner = goal, inner

    @property
    def id(self) -> str:
        return self._inner.id

    @property
    def offset(self) -> int:
        return self._inner.offset

    async def append(
        self, chunks: AsyncIterator[bytes], span: Span | None = None, size_bytes: int | None = None
    ) -> None:
        await self._inner.append(chunks, span, size_bytes)

    async def commit(self, digest: Digest, last: UploadBody | None = None) -> object:
        self._goal.written.append(f"blob {digest.hex[:12]}")
        return await self._inner.commit(digest, last)

    async def cancel(self) -> None:
        await self._inner.cancel()


class Counting:
    """A reporter that counts."""

    def __init__(self) -> None:
        self.expected: list[int] = []
        self.advanced = 0

    def begin(self, label: str) -> None:
        raise AssertionError("the caller begins")

    def expect(self, total_bytes: int) -> None:
        self.expected.append(total_bytes)

    def advance(self, size_bytes: int) -> None:
        self.advanced += size_bytes

    def done(self, outcome: TagOutcome, reason: str = "") -> None:
        raise AssertionError("the caller ends")


SILENT = SilentProgress()


@pytest.fixture
async def source() -> Source:
    made = Source()
    await hold(made, THERE, [CONFIG, LAYER, OTHER_LAYER], [OTHER, PLUGIN], "1.0")
    return made


@pytest.fixture
def goal() -> Goal:
    return Goal()


async def test_blobs_first_the_tag_last_the_bytes_the_same(source: Source, goal: Goal) -> None:
    progress = Counting()
    copied = await copy_graph(CopySource(source, THERE), TAG, CopyDestination(goal, HERE), [TAG], progress)
    assert goal.written == [
        f"blob {Digest.of(LAYER).hex[:12]}",
        f"blob {Digest.of(CONFIG).hex[:12]}",
        f"manifest {PLUGIN.digest.hex[:12]} 1.0",
    ]
    assert (copied.root, copied.moved_bytes) == (PLUGIN.descriptor, len(CONFIG + LAYER))
    assert (progress.expected, progress.advanced) == ([len(CONFIG + LAYER)], len(CONFIG + LAYER))
    assert (await goal.get_manifest(HERE, TAG)).content == PLUGIN.content
    async with goal.open_blob(HERE, Digest.of(LAYER)) as blob:
        assert b"".join([chunk async for chunk in blob]) == LAYER


async def test_nothing_moves_twice(source: Source, goal: Goal) -> None:
    await copy_graph(CopySource(source, THERE), TAG, CopyDestination(goal, HERE), [TAG], SILENT)
    source.asked.clear()
    copied = await copy_graph(CopySource(source, THERE), TAG, CopyDestination(goal, HERE), [Tag("latest")], SILENT)
    assert source.asked == ["manifest 1.0"]
    assert copied.moved_bytes == 0
    assert (await goal.resolve(HERE, Tag("latest"))).digest == PLUGIN.digest


async def test_another_repository_mounts(source: Source, goal: Goal) -> None:
    await copy_graph(CopySource(source, THERE), TAG, CopyDestination(goal, HERE), [TAG], SILENT)
    goal.written.clear()
    progress = Counting()
    copied = await copy_graph(CopySource(source, THERE), TAG, CopyDestination(goal, Repository("x")), [TAG], progress)
    assert goal.written[:2] == [f"mount {Digest.of(LAYER).hex[:12]}", f"mount {Digest.of(CONFIG).hex[:12]}"]
    assert (copied.moved_bytes, progress.advanced) == (0, len(CONFIG + LAYER))


async def test_without_tags_it_is_held_by_digest(source: Source, goal: Goal) -> None:
    await copy_graph(CopySource(source, THERE), PLUGIN.digest, CopyDestination(goal, HERE), [], SILENT)
    assert await goal.resolve(HERE, PLUGIN.digest) == PLUGIN.descriptor
    with pytest.raises(ManifestUnknown):
        await goal.resolve(HERE, TAG)


async def is_gone(goal: Goal, upload: Upload) -> bool:
    try:
        await goal.resume_upload(HERE, upload.id)
    except UploadUnknown:
        return True
    return False


async def test_what_breaks_off_leaves_no_upload_and_no_tag(source: Source, goal: Goal) -> None:
    source.breaks_at = 300_000
    with pytest.raises(UpstreamUnreachable, match="the line broke"):
        await copy_graph(CopySource(source, THERE), TAG, CopyDestination(goal, HERE), [TAG], SILENT)
    with pytest.raises(ManifestUnknown):
        await goal.resolve(HERE, TAG)
    assert goal.begun
    assert all([await is_gone(goal, upload) for upload in goal.begun])


async def moved_bytes(source: Source, goal: Goal) -> int:
    """Return the bytes that a copy moves if the destination holds the config."""
    await hold(source.inner, THERE, [CONFIG, LAYER], [PLUGIN], str(TAG))
    await hold(goal.inner, HERE, [CONFIG], [])
    copied = await copy_graph(CopySource(source, THERE), TAG, CopyDestination(goal, HERE), [TAG], SILENT)
    assert (await goal.stat_blob(HERE, Digest.of(LAYER))).size_bytes == len(LAYER)
    return copied.moved_bytes


async def test_a_blob_that_is_held_is_not_asked_for(source: Source, goal: Goal) -> None:
    await hold(goal.inner, HERE, [LAYER], [])
    assert await moved_bytes(source, goal) == 0
    assert source.asked == [f"manifest {TAG}"]


async def test_a_destination_that_does_not_read_what_was_written(source: Source) -> None:
    class Forgetful(Goal):
        async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
            return OTHER.descriptor

    with pytest.raises(
        UpstreamProtocolError, match=f"stored {PLUGIN.digest}, but the registry returns .* {OTHER.digest}"
    ):
        await copy_graph(CopySource(source, THERE), TAG, CopyDestination(Forgetful(), HERE), [TAG], SILENT)


async def test_a_lie_about_a_size_stores_nothing(source: Source, goal: Goal) -> None:
    source.replaced[Digest.of(LAYER)] = LAYER[:-1]
    with pytest.raises(UpstreamProtocolError, match=f"{len(LAYER)} bytes, but the blob has {len(LAYER) - 1} bytes"):
        await copy_graph(CopySource(source, THERE), TAG, CopyDestination(goal, HERE), [TAG], SILENT)
    assert all([await is_gone(goal, upload) for upload in goal.begun])
    with pytest.raises(BlobUnknown):
        await goal.stat_blob(HERE, Digest.of(LAYER))


async def test_a_manifest_that_lies_about_a_size_that_is_held(source: Source, goal: Goal) -> None:
    liar = plugin(CONFIG, LAYER, layer_size_bytes=5)
    await source.put_manifest(THERE, liar, [Tag("liar")])
    await hold(goal.inner, HERE, [CONFIG, LAYER], [])
    with pytest.raises(UpstreamProtocolError, match="5 bytes, but the blob has"):
        await copy_graph(CopySource(source, THERE), Tag("liar"), CopyDestination(goal, HERE), [TAG], SILENT)


async def test_an_index_brings_its_members(source: Source, goal: Goal) -> None:
    inner = index(PLUGIN.descriptor, OTHER.descriptor)
    root = index(PLUGIN.descriptor, inner.descriptor)
    await hold(source, THERE, [], [inner, root], "all")
    await copy_graph(CopySource(source, THERE), Tag("all"), CopyDestination(goal, HERE), [Tag("all")], SILENT)
    manifests = [line for line in goal.written if line.startswith("manifest")]
    assert manifests == [
        f"manifest {PLUGIN.digest.hex[:12]}",
        f"manifest {OTHER.digest.hex[:12]}",
        f"manifest {inner.digest.hex[:12]}",
        f"manifest {root.digest.hex[:12]} all",
    ]
    assert sum(line.startswith("blob") for line in goal.written) == 3


async def test_an_index_of_blobs_brings_these_blobs(source: Source, goal: Goal) -> None:
    cache = index(described(OCI_LAYER_GZIP, LAYER), described("application/vnd.buildkit.cacheconfig.v0", CONFIG))
    await hold(source, THERE, [], [cache], "cache")
    copied = await copy_graph(CopySource(source, THERE), Tag("cache"), CopyDestination(goal, HERE), [TAG], SILENT)
    assert copied.moved_bytes == len(LAYER + CONFIG)
    assert goal.written[-1] == f"manifest {cache.digest.hex[:12]} 1.0"


async def test_members_that_are_held_are_not_read(source: Source, goal: Goal) -> None:
    await copy_graph(CopySource(source, THERE), TAG, CopyDestination(goal, HERE), [TAG], SILENT)
    root = index(PLUGIN.descriptor, OTHER.descriptor)
    await hold(source, THERE, [], [root], "all")
    source.asked.clear()
    await copy_graph(CopySource(source, THERE), Tag("all"), CopyDestination(goal, HERE), [Tag("all")], SILENT)
    assert f"manifest {PLUGIN.digest.hex[:12]}" not in source.asked
    assert f"manifest {OTHER.digest.hex[:12]}" in source.asked


async def test_indexes_within_indexes_have_a_limit(source: Source, goal: Goal) -> None:
    root = PLUGIN
    for _ in range(9):
        root = index(root.descriptor)
        await source.put_manifest(THERE, root, [Tag("deep")])
    with pytest.raises(UpstreamProtocolError, match="nests indexes more than 8 levels deep"):
        await copy_graph(CopySource(source, THERE), Tag("deep"), CopyDestination(goal, HERE), [TAG], SILENT)
    assert goal.written == []


async def test_members_have_a_limit_of_bytes_which_is_looked_at_as_they_come(
    source: Source, goal: Goal, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [b"%d" % number for number in range(40)]
    members = [plugin(CONFIG, layer) for layer in layers]
    root = index(*(member.descriptor for member in members))
    await hold(source, THERE, layers, [*members, root], "all")
    most_bytes = sum(member.size_bytes for member in members[:10])
    monkeypatch.setattr(graph_reading, "MOST_MEMBER_BYTES", most_bytes)
    source.asked.clear()
    with pytest.raises(UpstreamProtocolError, match=f"manifests of more than {most_bytes} bytes"):
        await copy_graph(CopySource(source, THERE), Tag("all"), CopyDestination(goal, HERE), [TAG], SILENT)
    assert len(source.asked) <= 1 + 11 + BLOBS_AT_ONCE
    assert goal.written == []


async def test_a_member_of_another_size_than_its_index_says(source: Source, goal: Goal) -> None:
    lying = index(described(PLUGIN.media_type, PLUGIN.content, PLUGIN.size_bytes + 1))
    await source.put_manifest(THERE, lying, [Tag("all")])
    with pytest.raises(UpstreamProtocolError, match="an index describes"):
        await copy_graph(CopySource(source, THERE), Tag("all"), CopyDestination(goal, HERE), [TAG], SILENT)


async def test_several_blobs_at_once_and_not_more(goal: Goal) -> None:
    source = Source()
    layers = [bytes([number]) * 100 for number in range(12)]
    many = plugin(CONFIG, *layers)
    await hold(source, THERE, [CONFIG, *layers], [many], "1.0")
    await copy_graph(CopySource(source, THERE), TAG, CopyDestination(goal, HERE), [TAG], SILENT, blobs_at_once=3)
    assert source.open_at_most == 3


async def test_the_first_failure_ends_the_others(source: Source, goal: Goal) -> None:
    class Full(Goal):
        async def begin_upload(self, repository: Repository, *others: object, **named: object) -> Upload:
            await asyncio.sleep(0)
            raise StorageFull("no space is left")

    full = Full()
    with pytest.raises(StorageFull, match="no space is left"):
        await copy_graph(CopySource(source, THERE), TAG, CopyDestination(full, HERE), [TAG], SILENT)
    assert source.open_now == 0
    assert not any(line.startswith("manifest") for line in full.written)


async def test_a_lease_of_the_store_is_let_go_of_however_the_copy_fails(source: Source, tmp_path: Path) -> None:
    class Away(Source):
        """A source that has the manifest and cannot open a blob."""

        @asynccontextmanager
        async def _open(self, repository: Repository, digest: Digest, part: RangeRequest | None) -> AsyncIterator[Blob]:
            raise UpstreamUnreachable("no connection")
            yield

    away = Away()
    away.inner = source.inner
    errors = []  # the errors keep their frames alive, as errors in the results of a rule do
    async with Store.open(tmp_path / "data") as store:
        for failing, breaks_at in ((source, 300_000), (away, None), (away, None), (source, None)):
            failing.breaks_at = breaks_at
            try:
                copied = await copy_graph(
                    CopySource(failing, THERE),
                    TAG,
                    CopyDestination(store, HERE),
                    [TAG],
                    SILENT,
                    locks=BlobLocks(store.downloads),
                )
            except UpstreamUnreachable as error:
                errors.append(error)
    assert len(errors) == 3
    assert copied.moved_bytes <= len(CONFIG + LAYER) - 300_000
