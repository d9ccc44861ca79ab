"""Selection of tags: patterns, then a range of versions, then the newest. Pure.

Tags made of a digest, ``sha256-….sig`` and the like, are never taken for themselves: they follow what they are about.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

import re2  # type: ignore[import-untyped]  # it has no stubs

from mirror.oci import Digest, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.runtime.concurrency.cooperative_sort import sort_cooperatively
from mirror.transfer.tag_version import TagVersion, VersionRange
from mirror.wire.referrers_fallback import fallback_tag, is_digest_tag

_MOST_CHARACTERS = 512
_ONE_MIB = 1024 * 1024


class TagPattern:
    """A glob that matches a whole tag, or, between slashes, a regular expression that is found somewhere in it.

    Expressions are those of RE2, which take time in proportion to the tag whatever they and it are: a tag is chosen by
    the upstream, and must not be able to keep us busy.
    """

    def __init__(self, text: str) -> None:
        if len(text) > _MOST_CHARACTERS:
            raise ConfigurationFault(f"the pattern {text[:40]}… is longer than {_MOST_CHARACTERS} characters")
        self.text = text
        self._expression = None
        if len(text) > 1 and text[0] == text[-1] == "/":
            options = re2.Options()
            options.log_errors = False
            options.max_mem = _ONE_MIB
            try:
                self._expression = re2.compile(text[1:-1], options)
            except re2.error as error:
                reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error
                raise ConfigurationFault(f"{text} is not a regular expression (RE2): {reason}") from error

    def matches(self, tag: Tag) -> bool:
        """Tell whether the pattern matches a tag."""
        if self._expression is None:
            return fnmatchcase(tag.name, self.text)
        return self._expression.search(tag.name) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TagPattern) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"TagPattern({self.text!r})"


@dataclass(frozen=True, slots=True)
class TagSelection:
    """The tags of a repository that a rule takes.

    Attributes:
        include: patterns, of which one must match; none: every tag.
        exclude: patterns, of which none may match.
        versions: the range in which a tag's version must lie; None: tags without a version are taken too.
        newest: only so many of them; None: all.
    """

    include: tuple[TagPattern, ...] = ()
    exclude: tuple[TagPattern, ...] = ()
    versions: VersionRange | None = None
    newest: int | None = None

    def __post_init__(self) -> None:
        if self.newest is not None and self.newest < 1:
            raise ConfigurationFault(f"tags.newest is {self.newest}: it must be at least 1")

    @classmethod
    def parse(
        cls,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        semver: str | None = None,
        newest: int | None = None,
    ) -> TagSelection:
        """Read a selection as it is written.

        Raises:
            ConfigurationFault: a pattern or the range is outside its grammar.
        """
        versions = None if semver is None else VersionRange.parse(semver)
        return cls(tuple(map(TagPattern, include)), tuple(map(TagPattern, exclude)), versions, newest)

    def takes(self, tag: Tag) -> bool:
        """Tell whether patterns and range take a tag."""
        if self.include and not any(pattern.matches(tag) for pattern in self.include):
            return False
        if any(pattern.matches(tag) for pattern in self.exclude):
            return False
        if self.versions is None:
            return True
        version = TagVersion.of(tag)
        return version is not None and self.versions.holds(version)


def select(tags: Iterable[Tag], selection: TagSelection) -> tuple[Tag, ...]:
    """The tags that are wanted, newest first, each once.

    Tags with a version come first, the highest first; then the others, in reverse ASCII order. A thread that selects
    from very many lets others run.
    """
    taken = {tag for tag in tags if not is_digest_tag(tag) and selection.takes(tag)}
    return newest_first(taken)[: selection.newest]


def newest_first(tags: Iterable[Tag]) -> tuple[Tag, ...]:
    """Tags in the order in which :func:`select` gives them."""
    return tuple(chain.from_iterable(sort_cooperatively(tags, age_key, reverse=True)))


def companions(tags: Iterable[Tag], subjects: Collection[Digest]) -> tuple[Tag, ...]:
    """The tags that belong to some of ``subjects``, as cosign keeps its signatures: ``sha256-….sig``, in order.

    The index of referrers that lies under the tag without an ending is not among them: a registry makes its own.
    """
    wanted = {fallback_tag(subject).name for subject in subjects}
    return tuple(sorted(tag for tag in tags if "." in tag.name and tag.name.partition(".")[0] in wanted))


def age_key(tag: Tag) -> tuple[Any, ...]:
    """Sorts tags from oldest to newest. The same for no two tags."""
    version = TagVersion.of(tag)
    if version is None:
        return (0, tag.name)
    return (1, version.precedence, version.rest, tag.name)
