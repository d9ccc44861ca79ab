"""Known vulnerabilities of Docker Engines in how they install plugins, and which versions have them. Pure.

An engine's version tells its release, and not what a distribution has patched since: Debian's 26.1.5+dfsg1-9+deb13u1
is mended, and says ``26.1.5+dfsg1`` as the one before it does. Such an engine counts by its number, unless a site says
that it has patched it (:class:`KnownEngines`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from mirror.plugin.config.privileges import Privilege

Number: TypeAlias = tuple[int, int, int]

#: ``20.10.24+dfsg1``, ``17.03.2-ce``, ``29.3.1-rc.1``: the number, and what follows it.
_VERSION: Final = re.compile(r"v?([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,4}))?(?:([-+~].*|[a-z][A-Za-z0-9.+~-]*))?")
#: How what follows the number of a release begins, where it is that release and not one before it.
_EDITIONS: Final = re.compile(r"-(?:ce|ee)(?![a-z])")
#: What may stand behind an edition and makes it a release before the one it names.
_CANDIDATE: Final = re.compile(r"(?:alpha|beta|rc|tp|dev|test)")
#: The first engine that has plugins. A smaller number is that of a build which nobody has given a version.
_FIRST_WITH_PLUGINS: Final[Number] = (1, 13, 0)


class Exposure(Enum):
    """An answer to whether an engine has a vulnerability."""

    AFFECTED = "affected"
    UNAFFECTED = "unaffected"
    UNKNOWN = "unknown"


class Treatment(Enum):
    """Treatment of an engine that is affected. One whose version cannot be read is treated as if it were."""

    ALLOW = "allow"
    WARN = "warn"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """A vulnerability of engines.

    Attributes:
        identifier: its CVE number.
        affected: the versions that have it, as pairs of the first one and the first one that no longer has it.
        effect: what an affected engine does, as a predicate.
        affected_in_words: the same as ``affected``.
        remedy: what to do on an affected host.
    """

    identifier: str
    affected: Sequence[tuple[Number, Number]]
    effect: str
    affected_in_words: str
    remedy: str

    def exposure(self, version: str) -> Exposure:
        """Tell whether the engine of a version has it; a version that cannot be read is unknown, never unaffected.

        Args:
            version: as the engine's ``User-Agent`` has it, after ``docker/``.
        """
        match = _VERSION.fullmatch(version)
        if match is None:
            return Exposure.UNKNOWN
        number, suffix = (int(match[1]), int(match[2]), int(match[3] or 0)), match[4] or ""
        if number < _FIRST_WITH_PLUGINS:
            return Exposure.UNKNOWN
        for first, fixed in self.affected:
            # A candidate of the release that mends it may have been made before it was mended.
            if first <= number < fixed or (number == fixed and _is_candidate(suffix)):
                return Exposure.AFFECTED
        return Exposure.UNAFFECTED


#: Engines 1.13 and 17.03 compare the lists as they are, order and descriptions included, and so all of both.
UNCOMPARED_PRIVILEGE: Final = Vulnerability(
    identifier="CVE-2026-33997",  # GHSA-pxq6-2prw-chj9
    affected=(((17, 4, 0), (25, 0, 16)), ((25, 1, 0), (29, 3, 1))),
    effect="does not compare the first privilege that a plugin asks for with what was granted",
    affected_in_words="17.04 to 25.0.15 and 26.0 to 29.3.0",
    remedy="upgrade to 29.3.1 or later, or to 25.0.16 or later within 25.0",
)


@dataclass(frozen=True, slots=True)
class KnownEngines:
    """A site's knowledge of which engines have :data:`UNCOMPARED_PRIVILEGE`.

    Attributes:
        patched: versions, as engines say them, that the site has in a patched build only.
    """

    patched: frozenset[str] = frozenset()

    def exposure(self, version: str) -> Exposure:
        """Tell whether an engine has it. Argument as for :meth:`Vulnerability.exposure`."""
        return Exposure.UNAFFECTED if version in self.patched else UNCOMPARED_PRIVILEGE.exposure(version)


def never_compared(asked: Sequence[Privilege]) -> Privilege | None:
    """The privilege that engines with :data:`UNCOMPARED_PRIVILEGE` never compare; None where none is asked for.

    Those engines sort both lists by name, and begin to compare at the second entry. Go's sort leaves entries of one
    name as they were as long as the list has at most twelve; of a longer one it is a privilege of that name.

    Args:
        asked: what the plugin asks for, in the engine's order.
    """
    return min(asked, key=lambda privilege: privilege.name, default=None)


def _is_candidate(suffix: str) -> bool:
    """Tell whether a release with this suffix came, or may have come, before the one without."""
    if edition := _EDITIONS.match(suffix):
        return _CANDIDATE.search(suffix, edition.end()) is not None
    return suffix[:1] in {"-", "~"} or _CANDIDATE.match(suffix) is not None
