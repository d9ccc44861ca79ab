"""Retention of pushed tags: selection of the tags that need not be kept. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mirror.oci import Digest, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.oci.name_pattern import NamePattern
from mirror.records.lifecycle.pushed_tags import PushedTag, RepositoryTags
from mirror.transfer.tags.tag_selection import TagPattern, age_key, companions
from mirror.transfer.tags.tag_version import TagVersion
from mirror.wire.referrers_fallback import is_digest_tag


@dataclass(frozen=True, slots=True)
class TagRetention:
    """Conditions under which pushed tags stay. A tag stays if it meets at least one.

    Attributes:
        newest: number of newest tags to keep. Tags with a version are compared by version, all others by the time of
            their push, and the two kinds are counted apart. None if the condition is not set.
        pulled_within: time within which a kept tag was pulled or pushed. None if the condition is not set.
        matching: patterns of tags that always stay. They do not count among the newest.
    """

    newest: int | None = None
    pulled_within: timedelta | None = None
    matching: tuple[TagPattern, ...] = ()

    def __post_init__(self) -> None:
        # ``matching`` alone would drop every other tag a day after its push.
        if self.newest is None and self.pulled_within is None:
            raise ConfigurationFault("keep: give newest, pulled_within, or both")
        if self.newest is not None and self.newest < 1:
            raise ConfigurationFault(f"keep.newest is {self.newest}: it must be at least 1")

    @property
    def reason(self) -> str:
        """The reason for which a tag is not kept."""
        newest = "" if self.newest is None else f"not among the newest {self.newest}"
        pulled = "" if self.pulled_within is None else f"neither pushed nor pulled within {_told(self.pulled_within)}"
        return " and ".join(filter(None, [newest, pulled]))


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """A retention for repositories.

    Attributes:
        pattern: the repositories.
        retention: the conditions.
    """

    pattern: NamePattern
    retention: TagRetention


@dataclass(frozen=True, slots=True)
class RetentionView:
    """Facts that retention needs besides the tags of a repository.

    Attributes:
        now: the present time.
        younger_than: tags pushed within this time stay: whoever has pushed them has had no time to use them.
        pulls_known_since: time since which all pulls are recorded; None if they are not.
        immutable: returns True for a tag that may not be dropped. It does not count among the newest.
        group_of: returns the name of the group of a tag. The tags of a group stay together.
        trusted: returns a time, or a later one if the clock was set since.
    """

    now: datetime
    younger_than: timedelta
    pulls_known_since: datetime | None
    immutable: Callable[[Tag], bool]
    group_of: Callable[[Tag], str]
    trusted: Callable[[datetime], datetime] = lambda moment: moment

    def waits_for_pulls(self, retention: TagRetention) -> bool:
        """Return True if pulls are not recorded for long enough to tell which tags were not pulled."""
        if retention.pulled_within is None:
            return False
        return self.pulls_known_since is None or self.pulls_known_since > self.now - retention.pulled_within


def surplus_tags(repository: RepositoryTags, retention: TagRetention, view: RetentionView) -> Sequence[PushedTag]:
    """Select the tags of a repository that need not be kept, in the order of their names.

    Tags of signatures and the like, whose name is a digest, leave with the last tag of their subject.
    """
    if view.waits_for_pulls(retention):
        return []
    groups: defaultdict[str, list[PushedTag]] = defaultdict(list)
    for one in repository.tags:
        if not is_digest_tag(one.tag):
            groups[view.group_of(one.tag)].append(one)
    settled = {name for name, group in groups.items() if any(_always(one.tag, retention, view) for one in group)}
    kept = settled | {name for name, group in groups.items() if _in_use(group, repository, retention, view)}
    kept |= _newest({name: group for name, group in groups.items() if name not in settled}, retention.newest)
    dropped = [one for name, group in groups.items() if name not in kept for one in group]
    stays = {one.digest for name in kept for one in groups[name]} | set(repository.others)
    leaving = {one.digest for one in dropped} - stays
    subjects = _with_members(leaving, repository.members) - _with_members(stays, repository.members)
    by_tag = {one.tag: one for one in repository.tags}
    followers = [by_tag[tag] for tag in _followers(by_tag, subjects) if not by_tag[tag].kept_by]
    return sorted([*dropped, *followers], key=lambda one: one.tag.name)


def _always(tag: Tag, retention: TagRetention, view: RetentionView) -> bool:
    return view.immutable(tag) or any(pattern.matches(tag) for pattern in retention.matching)


def _in_use(
    group: Iterable[PushedTag], repository: RepositoryTags, retention: TagRetention, view: RetentionView
) -> bool:
    young = view.now - max(view.younger_than, retention.pulled_within or timedelta(0))
    return any(
        one.kept_by
        or view.trusted(one.pushed_at) > young
        # A pull may name only the digest, of the manifest or of a member of an index.
        or not repository.pulled.isdisjoint(_names_of(one, repository.members))
        for one in group
    )


def _names_of(one: PushedTag, members: Mapping[Digest, Collection[Digest]]) -> set[str]:
    return {one.tag.name, *map(str, _with_members([one.digest], members))}


def _newest(groups: Mapping[str, Sequence[PushedTag]], newest: int | None) -> set[str]:
    if newest is None:
        return set()
    by_version = {name: Tag(name) for name in groups if TagVersion.of(Tag(name)) is not None}
    ordered = sorted(by_version, key=lambda name: age_key(by_version[name]), reverse=True)
    others = sorted(groups.keys() - by_version.keys(), key=lambda name: _age(name, groups[name]), reverse=True)
    return {*ordered[:newest], *others[:newest]}


def _age(name: str, group: Sequence[PushedTag]) -> tuple[Any, ...]:
    return (max(one.pushed_at for one in group), name)


def _with_members(digests: Iterable[Digest], members: Mapping[Digest, Collection[Digest]]) -> set[Digest]:
    """Return manifests with the members of indexes, and the members of these."""
    found: set[Digest] = set()
    waiting = list(digests)
    while waiting:
        if (digest := waiting.pop()) not in found:
            found.add(digest)
            waiting.extend(members.get(digest, ()))
    return found


def _followers(tags: Collection[Tag], subjects: Collection[Digest]) -> Iterable[Tag]:
    """Return the tags named after subjects: signatures, and indexes of referrers."""
    fallbacks = (tag for tag in tags if is_digest_tag(tag) and "." not in tag.name)
    wanted = {f"{subject.algorithm}-{subject.hex[:64]}" for subject in subjects}
    return [*companions(tags, subjects), *(tag for tag in fallbacks if tag.name in wanted)]


def _told(duration: timedelta) -> str:
    seconds = int(duration.total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
