"""Versions in tags, and ranges of versions. Pure.

A version is found anywhere in a tag: ``v2.3``, ``3.6.0-arm64``, ``arm64-1.66.0``. The text after the numbers is a
pre-release only if it begins with a pre-release word. So ``1.0.0-beta.10`` comes before ``1.0.0``, while
``3.6.0-arm64`` is a 3.6.0. ``release-linux-arm64`` contains no version. Trailing zeros do not count: 1.0 equals 1.0.0.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mirror.oci import Tag
from mirror.oci.errors import ConfigurationFault

# Not a library for semantic versions: they refuse ``17.06.0-ce`` and ``1.2``, and take the ``-arm64`` of
# ``3.6.0-arm64`` for a pre-release (ADR 9).
_EDGE = r"(?:^|(?<=[-_.]))[vV]?"
_DOTTED = re.compile(_EDGE + r"(\d+(?:\.\d+)+)")
_WHOLE = re.compile(_EDGE + r"(?<!x86[-_])(\d+)(?=$|[-_])")
_PRERELEASE = re.compile(
    r"[-_.]?(?:alpha|beta|a|b|c|rc|cr|pre|preview|dev|snapshot|nightly|canary|edge|m|milestone)(?=$|[-_.\d])",
    re.IGNORECASE,
)
_PART = re.compile(r"\d+|[A-Za-z]+")

Parts = tuple[tuple[int, int, str], ...]


@dataclass(frozen=True, slots=True)
class TagVersion:
    """Version contained in a tag.

    Attributes:
        numbers: numbers without trailing zeros.
        before: pre-release in parts comparable as in semantic versions. Empty for a release.
        rest: text after the numbers of a release in such parts: a variant, such as ``-arm64``.
    """

    numbers: tuple[int, ...]
    before: Parts = ()
    rest: Parts = ()

    @classmethod
    def of(cls, tag: Tag) -> TagVersion | None:
        """Return the version in a tag, None if there is none."""
        found = _DOTTED.search(tag.name) or _WHOLE.search(tag.name)
        if found is None:
            return None
        numbers = [int(number) for number in found[1].split(".")]
        parts = _natural(tag.name[found.end() :])
        if _PRERELEASE.match(tag.name, found.end()):
            return cls(_trimmed(numbers), before=parts)
        return cls(_trimmed(numbers), rest=parts)

    @property
    def precedence(self) -> tuple[tuple[int, ...], bool, Parts]:
        """Sort key with the precedence of semantic versions (semver.org, 11). Variants of one version are equal."""
        return (self.numbers, not self.before, self.before)


@dataclass(frozen=True, slots=True)
class VersionRange:
    """Range of versions in npm's notation: ``>=1.0 <2``, ``^1.2``, ``~1.2.3``, ``1.x || 3.x``.

    Bounds separated by a space or comma must all hold. Of alternatives separated by ``||`` one must hold. A pre-release
    lies in a range only if a bound names a pre-release of the same version: ``>=1.0.0-beta.3 <2`` contains
    1.0.0-beta.4, but neither 1.5.0-rc1 nor 2.0.0-rc1.
    """

    text: str
    alternatives: tuple[tuple[_Bound, ...], ...]

    @classmethod
    def parse(cls, text: str) -> VersionRange:
        """Parse a range.

        Raises:
            ConfigurationFault: the text is outside the grammar.
        """
        return cls(text, tuple(_alternative(part, text) for part in text.split("||")))

    def holds(self, version: TagVersion) -> bool:
        """Return True if the range contains a version."""
        return any(_all_hold(bounds, version) for bounds in self.alternatives)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class _Bound:
    relation: str
    version: TagVersion


_HOLDS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "=": operator.eq,
}
_NUMBERS = r"[vV]?(?P<numbers>\d{1,18}(?:\.\d{1,18}){0,5})"
_TERM = re.compile(rf"(?P<relation>>=|<=|>|<|=|\^|~){_NUMBERS}(?P<before>-[0-9A-Za-z.-]+)?")
_WILD = re.compile(rf"{_NUMBERS}\.[xX*]")
_SPACE_AFTER_RELATION = re.compile(r"([<>=^~])\s+")
_MOST_CHARACTERS = 256


def _alternative(text: str, whole: str) -> tuple[_Bound, ...]:
    terms = _SPACE_AFTER_RELATION.sub(r"\1", text).replace(",", " ").split()
    if not terms or len(whole) > _MOST_CHARACTERS:
        raise ConfigurationFault(
            f"{whole[:80]!r} is not a range of versions; fix: write it like '>=1.0 <2', '^1.2' or '1.x'"
        )
    return tuple(bound for term in terms for bound in _bounds(term))


def _bounds(term: str) -> tuple[_Bound, ...]:
    wild = _WILD.fullmatch(term)
    if wild is not None:
        return _from_to(_numbers(wild), len(_numbers(wild)) - 1)
    match = _TERM.fullmatch(term)
    if match is None:
        raise ConfigurationFault(
            f"{term!r} is not a bound of versions; fix: write =1.2.3, >=1.2, <2, ^1.2, ~1.2.3 or 1.x"
        )
    numbers, before = _numbers(match), _natural(match["before"] or "")
    match match["relation"]:
        # npm's caret: the leftmost number other than zero must not change.
        case "^":
            return _from_to(
                numbers, next((at for at, number in enumerate(numbers) if number), len(numbers) - 1), before
            )
        case "~":
            return _from_to(numbers, min(1, len(numbers) - 1), before)
        case relation:
            return (_Bound(relation, TagVersion(_trimmed(numbers), before)),)


def _from_to(numbers: list[int], place: int, before: Parts = ()) -> tuple[_Bound, ...]:
    """Return the bounds from a version up to the next change of the number at ``place``."""
    end = [*numbers[:place], numbers[place] + 1]
    return (_Bound(">=", TagVersion(_trimmed(numbers), before)), _Bound("<", TagVersion(_trimmed(end))))


def _all_hold(bounds: tuple[_Bound, ...], version: TagVersion) -> bool:
    # As in npm, a pre-release must be asked for: ``>=1.0`` must not bring a 2.0.0-rc1.
    if version.before and not any(
        bound.version.before and bound.version.numbers == version.numbers for bound in bounds
    ):
        return False
    return all(_HOLDS[bound.relation](version.precedence, bound.version.precedence) for bound in bounds)


def _numbers(match: re.Match[str]) -> list[int]:
    return [int(number) for number in match["numbers"].split(".")]


def _trimmed(numbers: list[int]) -> tuple[int, ...]:
    while numbers and numbers[-1] == 0:
        numbers = numbers[:-1]
    return tuple(numbers)


def _natural(text: str) -> Parts:
    """Split a text into parts which compare as in semantic versions (semver.org, 11).

    Numbers compare as numbers and come before words.
    """
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part.lower()) for part in _PART.findall(text))
