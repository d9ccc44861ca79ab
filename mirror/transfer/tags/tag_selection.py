"""Selection of tags: by patterns, then by a range of versions, then the newest. Pure.

Tags made of a digest, such as ``sha256-….sig``, are never selected themselves. They follow their subject.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

from mirror.oci import Digest, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.runtime.concurrency.cooperative_sort import sort_cooperatively
from mirror.transfer.tags.tag_version import TagVersion, VersionRange
from mirror.wire.referrers_fallback import fallback_tag, is_digest_tag

_MOST_CHARACTERS = 512
#: Memory that one RE2 expression may use. Larger expressions are refused when they are parsed.
_ONE_MIB = 1024 * 1024


class TagPattern:
    """Pattern for tags: a glob matching the whole tag, or a regular expression between slashes matching anywhere in it.

    Regular expressions are RE2's. Their time is proportional to the length of the tag, so a tag chosen by the upstream
    cannot keep a worker busy.
    """

    def __init__(self, text: str) -> None:
        if len(text) > _MOST_CHARACTERS:
            raise ConfigurationFault(f"the pattern {text[:40]}… is longer than {_MOST_CHARACTERS} characters")
        self.text = text
        self._expression: Any = None
        if len(text) > 1 and text[0] == text[-1] == "/":
            import re2  # type: ignore[import-untyped]  # it has no stubs; late, because most patterns are globs

            options = re2.Options()
            # RE2 would write errors to stderr, beside our log.
            options.log_errors = False
            options.max_mem = _ONE_MIB
            try:
                self._expression = re2.compile(text[1:-1], options)
            except re2.error as error:
                reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error
                raise ConfigurationFault(f"{text} is not a regular expression (RE2): {reason}") from error

    def matches(self, tag: Tag) -> bool:
        """Return True if the pattern matches a tag."""
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
    """Selection of the tags of a repository.

    Attributes:
        include: patterns of which at least one must match. Empty to include every tag.
        exclude: patterns of which none may match.
        versions: range that contains the version of a selected tag. None to allow tags without a version as well.
        newest: number of newest tags to select. None to select all.
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
        """Parse a selection in the notation of the configuration.

        Raises:
            ConfigurationFault: a pattern or the range is outside its grammar.
        """
        versions = None if semver is None else VersionRange.parse(semver)
        return cls(tuple(map(TagPattern, include)), tuple(map(TagPattern, exclude)), versions, newest)

    def takes(self, tag: Tag) -> bool:
        """Return True if patterns and range select a tag."""
        if self.include and not any(pattern.matches(tag) for pattern in self.include):
            return False
        if any(pattern.matches(tag) for pattern in self.exclude):
            return False
        if self.versions is None:
            return True
        version = TagVersion.of(tag)
        return version is not None and self.versions.holds(version)


def select(tags: Iterable[Tag], selection: TagSelection) -> tuple[Tag, ...]:
    """Return the selected tags, newest first, each once.

    Tags with a version come first, highest version first. The others follow in reverse ASCII order. Other threads can
    run while very many tags are sorted.
    """
    taken = {tag for tag in tags if not is_digest_tag(tag) and selection.takes(tag)}
    return newest_first(taken)[: selection.newest]


def newest_first(tags: Iterable[Tag]) -> tuple[Tag, ...]:
    """Return tags in the order of :func:`select`."""
    return tuple(chain.from_iterable(sort_cooperatively(tags, age_key, reverse=True)))


def companions(tags: Iterable[Tag], subjects: Collection[Digest]) -> tuple[Tag, ...]:
    """Return the tags belonging to ``subjects``, in order.

    These are tags such as ``sha256-….sig``, under which cosign keeps signatures. The index of referrers under the tag
    without an ending is left out, because each registry makes its own.
    """
    wanted = {fallback_tag(subject).name for subject in subjects}
    return tuple(sorted(tag for tag in tags if "." in tag.name and tag.name.partition(".")[0] in wanted))


def age_key(tag: Tag) -> tuple[Any, ...]:
    """Return a sort key from oldest to newest. No two tags have the same key."""
    version = TagVersion.of(tag)
    if version is None:
        return (0, tag.name)
    return (1, version.precedence, version.rest, tag.name)
