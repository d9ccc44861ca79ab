"""One rule, run once. Running it again copies only what has changed since."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from mirror.oci.digest import Digest
from mirror.oci.errors import ConfigurationFault, MirrorError, NotFound
from mirror.oci.names import Repository, Tag
from mirror.registry.port import Lister, Page, Reader
from mirror.sync.rule import MirrorRule
from mirror.transfer.copy import Destination, Holder, Origin, copy_graph
from mirror.transfer.progress import Outcome, Progress
from mirror.transfer.select import select
from mirror.wire.pagination import PageRequest

Entry = TypeVar("Entry")


class Source(Reader, Lister, Protocol):
    """Where a rule copies from: it is listed and read."""


@dataclass(frozen=True, slots=True)
class TagResult:
    """What became of one tag, or of a repository whose tags could not be listed.

    Attributes:
        source: the repository there.
        repository: the repository here.
        tag: the tag; None where the tags could not be listed.
        outcome: copied, unchanged, failed.
        digest: what the tag points to now; None where it failed.
        moved_bytes: bytes of blobs read from the upstream.
        error: why it failed.
    """

    source: Repository
    repository: Repository
    tag: Tag | None
    outcome: Outcome
    digest: Digest | None = None
    moved_bytes: int = 0
    error: MirrorError | None = None


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What became of a rule.

    Attributes:
        rule: its name.
        tags: every tag it selects, in the order in which they were looked at.
        error: why it could not be run at all.
    """

    rule: str
    tags: tuple[TagResult, ...] = ()
    error: MirrorError | None = None

    @property
    def copied(self) -> tuple[TagResult, ...]:
        """Those that were copied."""
        return self._with(Outcome.COPIED)

    @property
    def unchanged(self) -> tuple[TagResult, ...]:
        """Those that were here already."""
        return self._with(Outcome.UNCHANGED)

    @property
    def failed(self) -> tuple[TagResult, ...]:
        """Those that failed."""
        return self._with(Outcome.FAILED)

    @property
    def moved_bytes(self) -> int:
        """Bytes of blobs read from the upstream."""
        return sum(result.moved_bytes for result in self.tags)

    @property
    def succeeded(self) -> bool:
        """Whether nothing failed."""
        return self.error is None and not self.failed

    def _with(self, outcome: Outcome) -> tuple[TagResult, ...]:
        return tuple(result for result in self.tags if result.outcome is outcome)


async def run_rule(rule: MirrorRule, source: Source, destination: Holder, progress: Progress) -> RuleResult:
    """Copy what a rule selects and the destination does not hold yet. A tag that fails does not stop the others.

    Args:
        rule: what to copy.
        source: the registry that the rule calls ``rule.source``.
        destination: where it goes.
        progress: told of each tag.

    Cancelled, it leaves every finished tag, and of the unfinished one what the next run goes on with.
    """
    results: list[TagResult] = []
    try:
        async for there, here in _repositories(rule, source):
            results += await _run_repository(rule, source, there, Destination(destination, here), progress)
    except MirrorError as error:
        return RuleResult(rule.name, tuple(results), error)
    return RuleResult(rule.name, tuple(results))


async def _repositories(rule: MirrorRule, source: Source) -> AsyncIterator[tuple[Repository, Repository]]:
    plain = rule.names.plain_source
    there = [plain] if plain else [name async for name in _all(source.list_repositories)]
    matched = 0
    for repository in there:
        here = rule.names.apply(repository)
        if here is not None:
            matched += 1
            yield repository, here
    if not matched:
        raise ConfigurationFault(
            f"mirror rule {rule.name}: none of the {len(there)} repositories that {rule.source} lists matches "
            f"{rule.names.source}"
        )


async def _run_repository(
    rule: MirrorRule,
    source: Source,
    there: Repository,
    destination: Destination,
    progress: Progress,
) -> list[TagResult]:
    async def page(request: PageRequest) -> Page[Tag]:
        return await source.list_tags(there, request)

    try:
        tags = select([tag async for tag in _all(page)], rule.tags)
    except MirrorError as error:
        progress.begin(str(destination.repository))
        progress.done(Outcome.FAILED, str(error))
        return [TagResult(there, destination.repository, None, Outcome.FAILED, error=error)]
    return [await _run_tag(Origin(source, there), destination, tag, progress) for tag in tags]


async def _run_tag(origin: Origin, destination: Destination, tag: Tag, progress: Progress) -> TagResult:
    there, here = origin.repository, destination.repository
    progress.begin(f"{here}:{tag}")
    try:
        digest = (await origin.registry.resolve(there, tag)).digest
        if await _digest_here(destination, tag) == digest:
            result = TagResult(there, here, tag, Outcome.UNCHANGED, digest)
        else:
            copied = await copy_graph(origin, digest, destination, [tag], progress)
            result = TagResult(there, here, tag, Outcome.COPIED, digest, copied.moved_bytes)
    except MirrorError as error:
        progress.done(Outcome.FAILED, str(error))
        return TagResult(there, here, tag, Outcome.FAILED, error=error)
    progress.done(result.outcome)
    return result


async def _digest_here(destination: Destination, tag: Tag) -> Digest | None:
    try:
        return (await destination.registry.resolve(destination.repository, tag)).digest
    except NotFound:
        return None


async def _all(listed: Callable[[PageRequest], Awaitable[Page[Entry]]]) -> AsyncIterator[Entry]:
    """Every entry of a list, page by page."""
    page = await listed(PageRequest())
    while True:
        for entry in page.entries:
            yield entry
        if not page.more or not page.entries:
            return
        page = await listed(PageRequest(last=str(page.entries[-1])))
