"""Known vulnerabilities of Docker Engine in installing plugins, and the affected versions. Pure.

The version of an engine tells its release, not the patches of a distribution. Debian's 26.1.5+dfsg1-9+deb13u1 is fixed
and reports ``26.1.5+dfsg1``, like the package before. Such an engine is judged by its number, unless the site lists its
version as patched (:class:`KnownEngines`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:  # the settings import this module, and read no configs of plugins
    from mirror.plugin.config.privileges import Privilege

Number: TypeAlias = tuple[int, int, int]

#: Number and suffix of versions such as ``20.10.24+dfsg1``, ``17.03.2-ce``, ``29.3.1-rc.1``.
_VERSION: Final = re.compile(r"v?([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,4}))?(?:([-+~].*|[a-z][A-Za-z0-9.+~-]*))?")
#: Beginning of the suffix of a release, in contrast to a version before the release.
_EDITIONS: Final = re.compile(r"-(?:ce|ee)(?![a-z])")
#: Words in a suffix that mark a version before the release.
_CANDIDATE: Final = re.compile(r"(?:alpha|beta|rc|tp|dev|test)")
#: The first engine with plugins. Smaller numbers come from builds without a version.
_FIRST_WITH_PLUGINS: Final[Number] = (1, 13, 0)


class Exposure(Enum):
    """Exposure of an engine to a vulnerability."""

    AFFECTED = "affected"
    UNAFFECTED = "unaffected"
    UNKNOWN = "unknown"


class Treatment(Enum):
    """Treatment of affected engines. Engines with an unreadable version are treated as affected."""

    ALLOW = "allow"
    WARN = "warn"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """A vulnerability of engines.

    Attributes:
        identifier: CVE number, or the commit with the fix if there is none.
        affected: affected versions, as pairs of the first affected and the first fixed version.
        effect: behaviour of an affected engine, as a predicate.
        affected_in_words: the affected versions as text.
        remedy: advice for an affected host.
    """

    identifier: str
    affected: Sequence[tuple[Number, Number]]
    effect: str
    affected_in_words: str
    remedy: str

    def exposure(self, version: str) -> Exposure:
        """Return the exposure of an engine version. An unreadable version is unknown, never unaffected.

        Args:
            version: version from the engine's ``User-Agent``, after ``docker/``.
        """
        match = _VERSION.fullmatch(version)
        if match is None:
            return Exposure.UNKNOWN
        number, suffix = (int(match[1]), int(match[2]), int(match[3] or 0)), match[4] or ""
        if number < _FIRST_WITH_PLUGINS:
            return Exposure.UNKNOWN
        for first, fixed in self.affected:
            # A release candidate of the fixed version may have been built before the fix.
            if first <= number < fixed or (number == fixed and _is_candidate(suffix)):
                return Exposure.AFFECTED
        return Exposure.UNAFFECTED


#: Engines 1.13 and 17.03 are not affected: they compare the whole lists, including order and descriptions.
UNCOMPARED_PRIVILEGE: Final = Vulnerability(
    identifier="CVE-2026-33997",  # GHSA-pxq6-2prw-chj9
    affected=(((17, 4, 0), (25, 0, 16)), ((25, 1, 0), (29, 3, 1))),
    effect="does not compare the first privilege that a plugin asks for with what was granted",
    affected_in_words="17.04 to 25.0.15 and 26.0 to 29.3.0",
    remedy="upgrade to 29.3.1 or later, or to 25.0.16 or later within 25.0",
)

CRASH_BY_DIGEST: Final = Vulnerability(
    identifier="moby d5c9f26e3d",  # the commit with the fix
    affected=(((20, 10, 0), (23, 0, 10)), ((24, 0, 0), (25, 0, 3))),
    effect="crashes when a plugin is installed by digest",
    affected_in_words="20.10 to 23.0.9 and 24.0 to 25.0.2",
    remedy="install it by its tag",
)


@dataclass(frozen=True, slots=True)
class KnownEngines:
    """Knowledge of a site about engines with :data:`UNCOMPARED_PRIVILEGE`.

    Attributes:
        patched: versions, as engines report them, that the site runs only in a patched build.
    """

    patched: frozenset[str] = frozenset()

    def exposure(self, version: str) -> Exposure:
        """Return the exposure of an engine version; a patched version is unaffected.

        Args:
            version: version from the engine's ``User-Agent``, after ``docker/``.
        """
        return Exposure.UNAFFECTED if version in self.patched else UNCOMPARED_PRIVILEGE.exposure(version)


def never_compared(asked: Sequence[Privilege]) -> Privilege | None:
    """Return the privilege that engines with :data:`UNCOMPARED_PRIVILEGE` never compare; None if none is asked for.

    These engines sort both lists by name, and start the comparison at the second entry. Go's sort keeps the order of
    equal names in lists of at most twelve entries. In longer lists, the skipped entry is some privilege of the same
    name.

    Args:
        asked: privileges of the plugin, in the engine's order.
    """
    return min(asked, key=lambda privilege: privilege.name, default=None)


def _is_candidate(suffix: str) -> bool:
    """Return True if a version with this suffix was or may have been released before the version without the suffix."""
    if edition := _EDITIONS.match(suffix):
        return _CANDIDATE.search(suffix, edition.end()) is not None
    return suffix[:1] in {"-", "~"} or _CANDIDATE.match(suffix) is not None
