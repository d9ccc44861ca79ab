"""The content of one repository, divided into what pull-through may evict and what is needed otherwise. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from mirror.store.catalog.tables.content_tables import ChildKind


class HeldTag(NamedTuple):
    """A tag of the catalog: its digest, and whether a client pushed the tag."""

    digest: str
    pushed: bool


class PulledFrom(NamedTuple):
    """The origin of a tag or digest: its upstream, the digest there, and the times of the last answers."""

    upstream: str
    digest: str
    checked_at: datetime
    asked_at: datetime


@dataclass(slots=True)
class FoundArtifact:
    """An artifact with the digests of everything that it needs."""

    tags: tuple[str, ...]
    digests: tuple[str, ...]
    used_at: datetime
    needs: Collection[str]
    is_confirmed: bool
    is_held: bool


@dataclass(slots=True)
class PulledRepository:
    """The rows of one repository.

    Attributes:
        name: the name.
        tags: the tags.
        origins: the origins of tags and digests.
        came_at: the manifests, incomplete ones included, with the times that they came.
        children: pairs of child and kind, by manifest.
        held: number of rows that hold each digest.
        pulled_at: times of the last pulls, by tag or digest.
        protected: tags and digests that must stay: pinned, approved, held for approval, originals of derived copies.
        leaving: digests of content that was evicted and not collected yet.
        worked_on: digests of content that work under way needs; None if the work needs the whole repository.
    """

    name: str
    tags: dict[str, HeldTag] = field(default_factory=dict)
    origins: dict[str, PulledFrom] = field(default_factory=dict)
    came_at: dict[str, datetime] = field(default_factory=dict)
    children: defaultdict[str, list[tuple[str, ChildKind]]] = field(default_factory=lambda: defaultdict(list))
    held: Counter[str] = field(default_factory=Counter)
    pulled_at: dict[str, datetime] = field(default_factory=dict)
    protected: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    worked_on: Collection[str] | None = ()


def divide(repository: PulledRepository, upstreams: Collection[str]) -> tuple[list[FoundArtifact], set[str]]:
    """Return the artifacts that may be evicted, and the digests that are needed for another reason.

    Args:
        repository: the rows.
        upstreams: names of the upstreams from which the repository can be pulled again.
    """
    return _Division(repository, upstreams).divide()


class _Division:
    def __init__(self, repository: PulledRepository, upstreams: Collection[str]) -> None:
        self._rows = repository
        self._upstreams = upstreams
        self._referrers: defaultdict[str, list[str]] = defaultdict(list)
        self._above: set[str] = set()
        self._is_unread = False
        self._left: set[str] = set()
        self._busy = set(repository.worked_on or ())
        for manifest, children in repository.children.items():
            for child, kind in children:
                if kind is ChildKind.SUBJECT:
                    self._referrers[child].append(manifest)
                elif kind is ChildKind.MEMBER:
                    self._above.add(child)
                if child in self._busy:
                    self._busy.add(manifest)
                self._is_unread |= kind is ChildKind.UNREAD

    def divide(self) -> tuple[list[FoundArtifact], set[str]]:
        rows = self._rows
        # A manifest that nobody can read may need anything. A repository with a pushed tag is not pulled through any
        # more, so that nothing of it would come back.
        if self._is_unread or any(tag.pushed for tag in rows.tags.values()):
            return [], set(rows.held)
        self._left = self._closure(digest for digest in rows.leaving if digest in rows.came_at) | rows.leaving
        # Tags are names without a colon, and digests have one.
        evictable = {target for target in rows.origins if ":" not in target and self._was_pulled(target)}
        groups = self._groups(evictable)
        roots = {tag.digest for name, tag in rows.tags.items() if name not in evictable}
        roots |= {digest for digest in rows.came_at if digest in rows.protected}
        needed = self._closure(roots)
        artifacts = []
        for tags, digests in groups:
            found = self._artifact(tags, digests)
            if rows.protected.isdisjoint((*tags, *found.needs)):
                artifacts.append(found)
            else:
                needed |= set(found.needs)
        covered = needed.union(*(each.needs for each in artifacts))
        artifacts += self._without_tags(covered)
        covered = covered.union(*(each.needs for each in artifacts))
        # Content without any use that pull-through did not bring waits for a manifest, or for the collection.
        others = {digest for digest in rows.held if digest not in covered and digest not in self._left}
        return artifacts, needed | others

    def _groups(self, tags: Iterable[str]) -> list[tuple[list[str], list[str]]]:
        """Return evictable tags with their digests. Tags that share a digest are in one group."""
        group_of: dict[str, tuple[list[str], list[str]]] = {}
        for tag in sorted(tags):
            group: tuple[list[str], list[str]] = ([tag], self._digests(tag))
            for other in {id(group_of[one]): group_of[one] for one in group[1] if one in group_of}.values():
                group = (other[0] + group[0], list(dict.fromkeys(other[1] + group[1])))
            group_of.update(dict.fromkeys(group[1], group))
        return list({id(group): group for group in group_of.values()}.values())

    def _digests(self, tag: str) -> list[str]:
        # A tag that has moved upstream points to its last complete manifest until the new one is complete.
        held, origin = self._rows.tags.get(tag), self._rows.origins[tag]
        digests = [origin.digest, *([held.digest] if held is not None else [])]
        return [digest for digest in dict.fromkeys(digests) if digest in self._rows.came_at]

    def _artifact(self, tags: list[str], digests: list[str]) -> FoundArtifact:
        rows = self._rows
        needs = self._closure(digests)
        times = [rows.pulled_at[one] for one in (*tags, *needs) if one in rows.pulled_at]
        times += [rows.came_at[one] for one in needs if one in rows.came_at]
        origins = [rows.origins[one] for one in tags]
        # Pulls were not recorded by earlier versions. The first pull after a while asks the upstream.
        times += [origin.asked_at for origin in origins]
        is_confirmed = all(origin.asked_at <= origin.checked_at for origin in origins)
        is_held = rows.worked_on is None or not self._busy.isdisjoint(needs)
        return FoundArtifact(tuple(sorted(tags)), tuple(sorted(digests)), max(times), needs, is_confirmed, is_held)

    def _without_tags(self, covered: set[str]) -> list[FoundArtifact]:
        """Return the manifests that were pulled by their digest and that no tag needs."""
        rows = self._rows
        others = (digest for digest in rows.came_at if digest not in covered and digest not in self._left)
        pulled = [digest for digest in others if self._was_pulled(digest)]
        found: list[FoundArtifact] = []
        done: set[str] = set()
        # An index comes before its members, which go with the index.
        for digest in sorted(pulled, key=lambda one: (one in self._above or self._has_subject(one), one)):
            if digest not in done:
                found.append(self._artifact([], [digest]))
                done |= set(found[-1].needs)
        return found

    def _was_pulled(self, target: str) -> bool:
        origin = self._rows.origins.get(target)
        return origin is not None and origin.upstream in self._upstreams

    def _has_subject(self, digest: str) -> bool:
        return any(kind is ChildKind.SUBJECT for _, kind in self._rows.children.get(digest, ()))

    def _closure(self, roots: Iterable[str]) -> set[str]:
        """Return held content that stays with some manifests: what they name, their referrers, and their subjects."""
        rows = self._rows
        found: set[str] = set()
        waiting = [digest for digest in roots if digest in rows.held]
        # The subject of a root stays with it. That of another manifest is the manifest from which it was reached.
        waiting += [
            child
            for digest in waiting
            for child, kind in rows.children.get(digest, ())
            if kind is ChildKind.SUBJECT and child in rows.held
        ]
        while waiting:
            digest = waiting.pop()
            if digest in found:
                continue
            found.add(digest)
            waiting += [
                child
                for child, kind in rows.children.get(digest, ())
                if kind is not ChildKind.SUBJECT and child in rows.held
            ]
            waiting += self._referrers.get(digest, ())
        return found
