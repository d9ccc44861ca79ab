"""An upstream that fails on demand, and pull-through from it into a store."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import MirrorError
from mirror.proxy.freshness import Freshness
from mirror.proxy.proxy_routes import ProxyRule, Routes, Upstream
from mirror.proxy.pull_metrics import PullMetrics, families
from mirror.proxy.registry import PullThroughRegistry
from mirror.proxy.upstream_lookups import PullRecords
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Blob, Page
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.runtime.metrics.shared_metrics import SharedMetrics
from mirror.runtime.retry_policy import RetryPolicy
from mirror.store.registry import Store
from mirror.transfer.active_downloads import ActiveDownloads
from mirror.wire.pagination import PageRequest
from mirror.wire.ranges import RangeRequest, Span
from tests.support.builders import hold, plugin
from tests.support.clocks import HandClock
from tests.support.waiting import until

NAME = Repository("vieux/sshfs")
TAG = Tag("latest")
PIECE_BYTES = 16 * 1024
QUICK = RetryPolicy(attempts=None, total_seconds=0.5, first_delay_seconds=0.01, longest_delay_seconds=0.05)


class ScriptedBlob:
    """A blob that arrives piece by piece, as far and as fast as the upstream permits."""

    file: IO[bytes] | None = None

    def __init__(self, upstream: ScriptedUpstream, content: bytes, span: Span) -> None:
        self.size_bytes = len(content)
        self.span = span
        self._upstream = upstream
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(self.span.start, self.span.stop, PIECE_BYTES):
            await self._upstream.let_through(start)
            piece = self._content[start : min(start + PIECE_BYTES, self.span.stop)]
            self._upstream.sent_bytes += len(piece)
            yield piece


class ScriptedUpstream(DelegatingRegistry):
    """A registry in memory that counts its calls.

    Attributes:
        asked: number of calls by name.
        failure: error that every call raises; None: calls succeed.
        stalled: event on which every call waits. Clear it to stall the upstream.
        limit: offset at which every blob stops until the limit is raised; None: no limit.
        breaks_at: errors by the offset at which a blob breaks off. Each is raised once.
        instead: content that is sent for a blob with this digest.
        sent_bytes: number of bytes of blobs that were sent.
    """

    def __init__(self) -> None:
        super().__init__(MemoryRegistry())
        self.asked: Counter[str] = Counter()
        self.failure: MirrorError | None = None
        self.stalled = asyncio.Event()
        self.stalled.set()
        self.limit: int | None = None
        self.breaks_at: dict[int, MirrorError] = {}
        self.instead: dict[Digest, bytes] = {}
        self.sent_bytes = 0

    async def let_through(self, offset: int) -> None:
        for at, error in list(self.breaks_at.items()):
            if offset >= at:
                del self.breaks_at[at]
                raise error
        # Polled, because tests set the limit as a plain attribute. Without a time limit: the reader's test has one.
        while self.limit is not None and offset >= self.limit:
            await asyncio.sleep(0.001)

    async def _heard(self, call: str) -> None:
        self.asked[call] += 1
        await self.stalled.wait()
        if self.failure is not None:
            raise self.failure

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        await self._heard("resolve")
        return await super().resolve(repository, target)

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        await self._heard("get_manifest")
        return await super().get_manifest(repository, target)

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        await self._heard("stat_blob")
        return await super().stat_blob(repository, digest)

    async def list_tags(self, repository: Repository, page: PageRequest) -> Page[Tag]:
        await self._heard("list_tags")
        return await super().list_tags(repository, page)

    async def list_referrers(
        self, repository: Repository, subject: Digest, artifact_type: str | None, page: PageRequest
    ) -> Page[Descriptor]:
        await self._heard("list_referrers")
        return await super().list_referrers(repository, subject, artifact_type, page)

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        await self._heard("open_blob")
        async with super().open_blob(repository, digest) as whole:
            content = self.instead.get(digest) or b"".join([chunk async for chunk in whole])
        span = Span(0, len(content)) if part is None else part.resolve(len(content))
        yield ScriptedBlob(self, content, span)


@dataclass
class World:
    """Pull-through, its store and its upstreams."""

    store: Store
    registry: PullThroughRegistry
    downloads: ActiveDownloads
    clock: HandClock
    upstreams: dict[str, ScriptedUpstream]
    shared_metrics: SharedMetrics = field(repr=False)

    @property
    def hub(self) -> ScriptedUpstream:
        return self.upstreams["hub"]

    def count(self, name: str, **labels: str) -> float:
        """Return the value of a counter."""
        for family, series in self.shared_metrics.sums():
            if family.name == f"plugin_mirror_{name}_total":
                wanted = tuple(labels[label] for label in family.label_names)
                return next(numbers[0] for each, numbers in series if each == wanted)
        raise KeyError(name)

    async def idle(self) -> None:
        """Wait until no download is under way."""
        await until(lambda: not self.downloads.count)


@asynccontextmanager
async def pulling(
    store: Store,
    *rules: tuple[str, str],
    reserved: tuple[str, ...] = (),
    offline: tuple[str, ...] = (),
    platforms: tuple[str, ...] = (),
    finish: bool = True,
    timeout_seconds: float = 5.0,
    upstreams: dict[str, ScriptedUpstream] | None = None,
    clock: HandClock | None = None,
) -> AsyncIterator[World]:
    """Open pull-through by rules ``(from, to)``. Without rules: ``hub/**`` to ``**``."""
    rules = rules or (("hub/**", "**"),)
    names = dict.fromkeys(source.partition("/")[0] for source, _ in rules)
    registries = upstreams or {name: ScriptedUpstream() for name in names}
    known = {name: Upstream(name, registries[name], offline=name in offline) for name in names}
    shared_metrics = SharedMetrics(families(names))
    outcomes = PullMetrics(shared_metrics.slot(), names)
    clock = clock or HandClock()
    async with BackgroundTasks() as tasks:
        arrived = store.records.incomplete.arrived
        downloads = ActiveDownloads(store, store.downloads, tasks, outcomes, arrived, finish=finish, retry=QUICK)
        registry = PullThroughRegistry(
            store,
            PullRecords(store.records.origins, store.records.incomplete, store.records.absent),
            Routes(
                [ProxyRule.parse(known[source.partition("/")[0]], source, to, platforms) for source, to in rules],
                reserved,
            ),
            downloads,
            tasks,
            clock=clock,
            freshness=Freshness(),
            outcomes=outcomes,
            timeout_seconds=timeout_seconds,
        )
        yield World(store, registry, downloads, clock, registries, shared_metrics)


def content(seed: int, size_bytes: int) -> bytes:
    """Return some bytes, always equal for a seed."""
    return Digest.of(str(seed).encode()).hex.encode() * (size_bytes // 64 + 1)


@dataclass(frozen=True)
class Plugin:
    """A plugin at an upstream."""

    manifest: Manifest
    config: bytes
    layer: bytes

    @classmethod
    def make(cls, seed: int = 1, layer_bytes: int = 300_000) -> Plugin:
        config, layer = b'{"Description":"%d"}' % seed, content(seed, layer_bytes)[:layer_bytes]
        return cls(plugin(config, layer), config, layer)

    async def at(self, registry: MemoryRegistry | DelegatingRegistry, name: Repository = NAME, *tags: str) -> Plugin:
        await hold(registry, name, [self.config, self.layer], [self.manifest], *(tags or ("latest",)))
        return self


async def read(opening: object) -> bytes:
    """Read an open blob to its end."""
    async with opening as blob:  # type: ignore[attr-defined]
        return b"".join([chunk async for chunk in blob])


async def pull(world: World, name: Repository = NAME, target: Tag | Digest = TAG) -> Manifest:
    """Pull as an engine does: the manifest by its tag, then all its blobs."""
    digest = (await world.registry.resolve(name, target)).digest
    manifest = await world.registry.get_manifest(name, digest)
    for blob in manifest.blobs:
        assert Digest.of(await read(world.registry.open_blob(name, blob.digest))) == blob.digest
    await world.idle()
    return manifest


async def raised(awaitable: Awaitable[object]) -> MirrorError:
    """Return the error that an action raises."""
    try:
        await awaitable
    except MirrorError as error:
        return error
    raise AssertionError("nothing was raised")
