"""Which tags are taken: globs, then the newest by the version that a tag holds.

A version is looked for anywhere in a tag: ``v2.3``, ``3.6.0-arm64``, ``arm64-1.66.0``. What follows it is a
pre-release only where it begins with a pre-release word, so ``1.0.0-beta.10`` comes before ``1.0.0`` while
``3.6.0-arm64`` is a 3.6.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from mirror.oci.errors import ConfigurationFault
from mirror.oci.names import Tag

_EDGE = r"(?:^|(?<=[-_.]))[vV]?"
_DOTTED = re.compile(_EDGE + r"(\d+(?:\.\d+)+)")
_WHOLE = re.compile(_EDGE + r"(\d+)(?=$|[-_])")
_PRERELEASE = re.compile(
    r"[-_.]?(?:alpha|beta|a|b|c|rc|cr|pre|preview|dev|snapshot|nightly|canary|edge|m|milestone)(?=$|[-_.\d])",
    re.IGNORECASE,
)
_PART = re.compile(r"\d+|[A-Za-z]+")


@dataclass(frozen=True, slots=True)
class TagSelection:
    """Which tags of a repository are wanted.

    Attributes:
        include: globs, of which one must match; none: every tag.
        exclude: globs, of which none may match.
        newest: only so many of them; None: all.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    newest: int | None = None

    def __post_init__(self) -> None:
        if self.newest is not None and self.newest < 1:
            raise ConfigurationFault(f"tags.newest is {self.newest}: it must be at least 1")

    def takes(self, tag: Tag) -> bool:
        """Whether the globs let a tag through."""
        included = not self.include or any(fnmatchcase(tag.name, glob) for glob in self.include)
        return included and not any(fnmatchcase(tag.name, glob) for glob in self.exclude)


def select(tags: Iterable[Tag], selection: TagSelection) -> tuple[Tag, ...]:
    """The tags that are wanted, newest first, each once.

    Tags with a version come first, the highest first; then the others, in reverse ASCII order.
    """
    taken = sorted({tag for tag in tags if selection.takes(tag)}, key=age_key, reverse=True)
    return tuple(taken[: selection.newest])


def age_key(tag: Tag) -> tuple[Any, ...]:
    """Sorts tags from oldest to newest. The same for no two tags."""
    name = tag.name
    found = _DOTTED.search(name) or _WHOLE.search(name)
    if found is None:
        return (0, name)
    numbers = [int(number) for number in found[1].split(".")]
    while numbers and numbers[-1] == 0:  # 1.0 and 1.0.0 are one version
        numbers.pop()
    rest = name[found.end() :]
    before_release = _PRERELEASE.match(rest) is not None
    return (1, numbers, not before_release, _natural(rest), name)


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Parts of a text, numbers compared as numbers and before words, as semantic versions are (semver.org, 11)."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part.lower()) for part in _PART.findall(text)]
