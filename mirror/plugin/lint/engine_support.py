"""Support of a plugin by engine releases, as far as its findings tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from mirror.plugin.findings.finding import Finding, Severity
from mirror.plugin.findings.finding_table import FINDING_KINDS

#: Releases in which the support for plugins changed.
RELEASES: Final = (
    "1.13",
    "17.03",
    "17.05",
    "17.06",
    "17.07",
    "18.03",
    "18.06",
    "18.09",
    "19.03",
    "20.10",
    "23",
    "24",
    "25",
    "26",
    "28",
    "29",
)

#: Codes of findings that prevent installing or running the plugin on their engines, although they are not errors.
_KEEP_OUT: Final = frozenset(kind.code for kind in FINDING_KINDS.values() if kind.keeps_out)


@dataclass(frozen=True, slots=True)
class EngineVerdict:
    """Support of a plugin by a range of consecutive releases.

    Attributes:
        first, last: first and last release of the range; both may be the same.
        reasons: findings that prevent installing or running the plugin; empty if none are known.
    """

    first: str
    last: str
    reasons: tuple[Finding, ...]

    @property
    def works(self) -> bool:
        """True if no finding prevents installing or running the plugin."""
        return not self.reasons

    @property
    def engines(self) -> str:
        """The releases as text: ``20.10 to 29``."""
        return self.first if self.first == self.last else f"{self.first} to {self.last}"


def engine_verdicts(findings: Iterable[Finding]) -> tuple[EngineVerdict, ...]:
    """Group the releases by the findings that keep a plugin out, the oldest release first."""
    serious = [one for one in findings if one.severity is Severity.ERROR or one.code in _KEEP_OUT]

    def reasons(release: str) -> tuple[Finding, ...]:
        return tuple(finding for finding in serious if _is_about(finding.engines)(release))

    groups = [(found, list(releases)) for found, releases in groupby(RELEASES, reasons)]
    return tuple(EngineVerdict(releases[0], releases[-1], found) for found, releases in groups)


def _is_about(engines: str) -> Callable[[str], bool]:
    """Return a predicate for the releases that the text of a finding's engines covers.

    Args:
        engines: text such as ``all``, ``none``, ``since 20.10``, ``up to 19.03`` or ``19.03``.
    """
    if engines in {"all", "none"}:
        return lambda _: engines == "all"
    word, _, version = engines.rpartition(" ")
    bound = _number(version)
    match word:
        case "since":
            return lambda release: _number(release) >= bound
        case "up to":
            return lambda release: _number(release) <= bound
        case "before":
            return lambda release: _number(release) < bound
        case _:
            return lambda release: _number(release) == bound


def _number(release: str) -> tuple[int, ...]:
    """Return a release as numbers that compare in the order of releases."""
    return tuple(int(part) for part in release.split("."))
