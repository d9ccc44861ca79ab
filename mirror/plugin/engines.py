"""Which engines a plugin installs and runs on, as far as what was found out about it tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from mirror.plugin.findings import Finding, Severity
from mirror.plugin.lint.finding_table import FINDING_KINDS

#: Releases between which engines differ in what they take of a plugin.
RELEASES: Final = (
    "1.13",
    "17.03",
    "17.05",
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

#: Findings of which the engines that they are about do not install the plugin at all, or not run it.
_KEEP_OUT: Final = frozenset(kind.code for kind in FINDING_KINDS.values() if kind.keeps_out)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What some engines make of a plugin.

    Attributes:
        first, last: the releases from and to which it holds; ``last`` may be the same.
        reasons: what keeps it from being installed, or from running there; empty where nothing is known to.
    """

    first: str
    last: str
    reasons: tuple[Finding, ...]

    @property
    def works(self) -> bool:
        """Whether nothing is known to keep it out."""
        return not self.reasons

    @property
    def engines(self) -> str:
        """The releases in words."""
        return self.first if self.first == self.last else f"{self.first} to {self.last}"


def verdicts(findings: Iterable[Finding]) -> tuple[Verdict, ...]:
    """What each engine makes of a plugin, neighbours with the same reasons together, the oldest first."""
    serious = [one for one in findings if one.severity is Severity.ERROR or one.code in _KEEP_OUT]

    def reasons(release: str) -> tuple[Finding, ...]:
        return tuple(finding for finding in serious if _is_about(finding.engines)(release))

    groups = [(found, list(releases)) for found, releases in groupby(RELEASES, reasons)]
    return tuple(Verdict(releases[0], releases[-1], found) for found, releases in groups)


def _is_about(engines: str) -> Callable[[str], bool]:
    """Whether a release is among a finding's engines: ``all``, ``none``, ``since 20.10``, ``up to 28``, ``19.03``."""
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
    return tuple(int(part) for part in release.split("."))
