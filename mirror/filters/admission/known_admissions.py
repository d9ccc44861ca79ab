"""Admissions in the memory of a process, so that a pull asks no catalog."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from mirror.oci import Digest, Repository
from mirror.records.admission.admissions import Admission
from mirror.records.admission.verdicts import Verdicts
from mirror.runtime.clock import Clock
from mirror.runtime.lru_cache import LruCache

_MOST_KEPT: Final = 1024
#: A withheld plugin is judged again after this time: a signature may have come to an upstream, which tells nobody.
_WITHHELD_FOR: Final = timedelta(minutes=1)


class _KnownAdmission(NamedTuple):
    generation: int
    admission: Admission
    is_served: bool
    until: datetime | None


class KnownAdmissions:
    """Admissions as last judged. Each is valid for one generation of the records, and until its verdict ends.

    Args:
        verdicts: records of changes to admissions.
        clock: source of the current time.
    """

    def __init__(self, verdicts: Verdicts, clock: Clock) -> None:
        self._verdicts = verdicts
        self._clock = clock
        self._known: LruCache[tuple[Repository, Digest], _KnownAdmission] = LruCache(_MOST_KEPT)

    def find(self, repository: Repository, digest: Digest) -> Admission | None:
        """Return the admission of a plugin, or None if the plugin has to be judged."""
        known = self._known.peek((repository, digest))
        return None if known is None or not self._is_valid(known) else known.admission

    def is_served(self, repository: Repository, digest: Digest) -> bool:
        """Return True if hosts are known to be allowed a manifest. The fast path of every pull."""
        known = self._known.peek((repository, digest))
        return known is not None and known.is_served and self._is_valid(known)

    def keep(self, generation: int, admission: Admission) -> None:
        """Keep an admission that was found under a generation."""
        is_served, until = admission.state.is_served, None if admission.verdict is None else admission.verdict.until
        if not is_served:
            again = self._clock.now() + _WITHHELD_FOR
            until = again if until is None else min(until, again)
        known = _KnownAdmission(generation, admission, is_served, until)
        self._known.put((admission.repository, admission.digest), known)

    def _is_valid(self, known: _KnownAdmission) -> bool:
        if known.generation != self._verdicts.admission_generation:
            return False
        return known.until is None or self._clock.now() < known.until
