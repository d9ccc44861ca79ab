"""Support of a plugin by engine releases, as far as its findings tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from mirror.plugin.lint.finding_table import FINDING_KINDS
from mirror.plugin.lint.findings import Finding, Severity

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
class EngineVerdict:
    """The support of a plugin by neighbouring releases.

    Attributes:
        first, last: the releases from and to which it holds; ``last`` may be the same.
        reasons: what keeps it from being installed, or from running there; empty where nothing is known to.
    """

    first: str
    last: str
    reasons: tuple[Finding, ...]

    @property
    def works(self) -> bool:
        """True where nothing is known to keep the plugin out."""
        return not self.reasons

    @property
    def engines(self) -> str:
        """The releases as text: ``20.10 to 29``."""
        return self.first if self.first == self.last else f"{self.first} to {self.last}"


def engine_verdicts(findings: Iterable[Finding]) -> tuple[EngineVerdict, ...]:
    """Group the releases by the reasons that keep a plugin out, the oldest first."""
    serious = [one for one in findings if one.severity is Severity.ERROR or one.code in _KEEP_OUT]

    def reasons(release: str) -> tuple[Finding, ...]:
        return tuple(finding for finding in serious if _is_about(finding.engines)(release))

    groups = [(found, list(releases)) for found, releases in groupby(RELEASES, reasons)]
    return tuple(EngineVerdict(releases[0], releases[-1], found) for found, releases in groups)


def _is_about(engines: str) -> Callable[[str], bool]:
    """Make the test for a release to be among a finding's engines, such as ``all``, ``since 20.10``, ``19.03``."""
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
