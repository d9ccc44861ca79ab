"""Choice of the artifacts that the budget of pull-through evicts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mirror.records.lifecycle.pulled_content import PulledArtifact, PulledContent

#: Part of the budget that an eviction leaves. It would otherwise begin again with the next pull.
LOW_WATER: Final = 0.9
#: Time after a pull in which its client may still be fetching, so that nothing is evicted. A full disk shortens it.
BUSY_FOR: Final = timedelta(hours=1)
BUSY_FOR_ON_FULL_DISK: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class KeepLimits:
    """Limits of the content that pull-through keeps.

    Attributes:
        size_bytes: size of the content; None for no limit.
        unused_for: time since the last pull; None for no limit.
    """

    size_bytes: int | None = None
    unused_for: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Eviction:
    """Artifacts to evict.

    Attributes:
        artifacts: the artifacts, least recently pulled first.
        used_bytes: size of the content before the eviction.
        freed_bytes: size of the content that nothing needs after the eviction.
    """

    artifacts: Sequence[PulledArtifact]
    used_bytes: int
    freed_bytes: int

    @property
    def left_bytes(self) -> int:
        """Size of the content after the eviction."""
        return self.used_bytes - self.freed_bytes

    @property
    def tags(self) -> int:
        """Number of tags that are evicted."""
        return sum(len(artifact.tags) for artifact in self.artifacts)


def choose_surplus(
    content: PulledContent,
    keep: KeepLimits,
    now: datetime,
    trusted: Callable[[datetime], datetime] = lambda moment: moment,
) -> Eviction:
    """Choose what goes beyond the limits: all that is unused for too long, then the least recently pulled.

    Nothing is evicted while the content is within its size. Else it shrinks to :data:`LOW_WATER` of the size. Content
    that its upstream did not confirm goes last, and never because of its age: it may be gone there.

    Args:
        content: the content.
        keep: the limits.
        now: the present time.
        trusted: returns a time, or a later one if the clock was set since, so that no jump of the clock makes it old.
    """
    needs = _Needs(content)
    for artifact in content.artifacts:
        if keep.unused_for is not None and artifact.is_confirmed and trusted(artifact.used_at) < now - keep.unused_for:
            needs.evict(artifact)
    if keep.size_bytes is not None and needs.left_bytes > keep.size_bytes:
        for artifact in _in_order(content, now - BUSY_FOR):
            if needs.left_bytes <= keep.size_bytes * LOW_WATER:
                break
            needs.evict(artifact)
    return needs.eviction


def choose_room(content: PulledContent, wanted_bytes: int, now: datetime) -> Eviction:
    """Choose the least recently pulled artifacts that free a number of bytes on a full disk, or all if they do not.

    Content that its upstream did not confirm stays: new content is not worth what may be the last copy.
    """
    needs = _Needs(content)
    for artifact in _in_order(content, now - BUSY_FOR_ON_FULL_DISK):
        if needs.freed_bytes >= wanted_bytes or not artifact.is_confirmed:
            break
        needs.evict(artifact)
    return needs.eviction


def measured(content: PulledContent, artifacts: Iterable[PulledArtifact]) -> Eviction:
    """Return the eviction of some artifacts."""
    needs = _Needs(content)
    for artifact in artifacts:
        needs.evict(artifact)
    return needs.eviction


def _in_order(content: PulledContent, used_before: datetime) -> Iterator[PulledArtifact]:
    frees = (each for each in content.artifacts if any(content.sizes[number] for number in each.contents))
    idle = [each for each in frees if each.used_at < used_before]
    # Names decide between equal times, so that the choice is the same in each process.
    idle.sort(key=lambda each: (not each.is_confirmed, each.used_at, each.repository, each.tags, each.digests))
    return iter(idle)


class _Needs:
    """Counts by how many of the artifacts that stay each content is needed."""

    def __init__(self, content: PulledContent) -> None:
        self._sizes = content.sizes
        self._needed_by = [0] * len(content.sizes)
        for artifact in content.artifacts:
            for number in artifact.contents:
                self._needed_by[number] += 1
        self._used_bytes = sum(size for size, count in zip(self._sizes, self._needed_by, strict=True) if count)
        self._evicted: dict[int, PulledArtifact] = {}
        self.freed_bytes = 0

    @property
    def left_bytes(self) -> int:
        return self._used_bytes - self.freed_bytes

    @property
    def eviction(self) -> Eviction:
        return Eviction(tuple(self._evicted.values()), self._used_bytes, self.freed_bytes)

    def evict(self, artifact: PulledArtifact) -> None:
        """Evict an artifact once. What is held stays."""
        if artifact.is_held or id(artifact) in self._evicted:
            return
        self._evicted[id(artifact)] = artifact
        for number in artifact.contents:
            self._needed_by[number] -= 1
            if not self._needed_by[number]:
                self.freed_bytes += self._sizes[number]
