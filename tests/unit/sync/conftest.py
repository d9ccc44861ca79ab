"""An upstream in memory that records its calls, a local store, and a clock that the tests move."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mirror.filters.shared_layers import SharedLayerReader
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS
from mirror.records.sync_runs import TagOutcome
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Blob, Page
from mirror.store.registry import Store
from mirror.sync.repository_run import RunContext
from mirror.transfer.blob_locks import BlobLocks
from mirror.wire.pagination import PageRequest
from mirror.wire.ranges import RangeRequest
from tests.support.clocks import HandClock


class Upstream(DelegatingRegistry):
    """An upstream that records its calls and fails where a test says.

    Attributes:
        asked: the calls, in order.
        broken: errors by the digest whose manifest or blob cannot be read.
        lists: error of every list of tags; None: lists succeed.
        page_limit: largest number of tags in a page; None: no limit.
    """

    def __init__(self) -> None:
        super().__init__(MemoryRegistry())
        self.asked: list[str] = []
        self.broken: dict[Digest, BaseException] = {}
        self.lists: BaseException | None = None
        self.page_limit: int | None = None

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        self.asked.append(f"resolve {target}")
        return await super().resolve(repository, target)

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        self.asked.append("get")
        manifest = await super().get_manifest(repository, target)
        if manifest.digest in self.broken:
            raise self.broken[manifest.digest]
        return manifest

    async def list_tags(self, repository: Repository, page: PageRequest) -> Page[Tag]:
        self.asked.append("list")
        if self.lists is not None:
            raise self.lists
        return await super().list_tags(repository, PageRequest(self.page_limit, page.last))

    async def list_repositories(self, page: PageRequest) -> Page[Repository]:
        self.asked.append("catalog")
        if self.lists is not None:
            raise self.lists
        return await super().list_repositories(PageRequest(self.page_limit, page.last))


class Watched(Upstream):
    """An upstream that also records the blobs that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[Digest] = []

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        self.read.append(digest)
        async with super().open_blob(repository, digest, part, size_bytes) as blob:
            yield blob


class Told:
    """A reporter that keeps its reports as lines, in the order in which the tags were begun."""

    def __init__(self) -> None:
        self._lines: list[ToldTag] = []

    @property
    def lines(self) -> list[str]:
        return [line.text for line in self._lines]

    def begin(self, label: str) -> ToldTag:
        self._lines.append(ToldTag(label))
        return self._lines[-1]


class ToldTag:
    def __init__(self, label: str) -> None:
        self.text = label

    def expect(self, total_bytes: int) -> None:
        self.text += f" {total_bytes} bytes"

    def advance(self, size_bytes: int) -> None: ...

    def done(self, outcome: TagOutcome, reason: str = "") -> None:
        self.text += f" {outcome}" + (f": {reason}" if reason else "")


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def here(tmp_path: Path, clock: HandClock) -> AsyncIterator[Store]:
    """The local store."""
    async with Store.open(tmp_path / "data", clock=clock) as store:
        yield store


@pytest.fixture
def context(here: Store, clock: HandClock, told: Told) -> RunContext:
    runs, derivations = here.records.sync_runs, here.records.derivations
    layers, locks = SharedLayerReader(DEFAULT_LIMITS).of(here), BlobLocks(here.downloads)
    return RunContext(runs, derivations, layers, clock, told, locks, absent=here.records.absent)
