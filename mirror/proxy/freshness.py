"""The decision how a request for a manifest is answered. Pure.

============================  ======================================  =====================
local copy                    and                                     is answered by
============================  ======================================  =====================
pushed, or by a mirror rule                                           serving it
anything, asked by digest                                             serving it
pulled through                confirmed within ``fresh_for``          serving it
pulled through                no upstream may be asked                serving it as stale
pulled through                no answer within ``retry_after``        serving it as stale
pulled through                otherwise                               asking with a HEAD
nothing                       no upstream may be asked                saying so
nothing                       missed within ``missed_for``            saying so
nothing                       otherwise                               fetching it
============================  ======================================  =====================
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from mirror.oci import Digest, Tag
from mirror.records.origins import Origin

#: A tag must not move while one engine installs from it, which asks twice.
LEAST_FRESH_FOR = timedelta(minutes=2)


class FreshnessStep(Enum):
    """How a request is answered."""

    SERVE = "serve"
    SERVE_STALE = "serve stale"
    REVALIDATE = "revalidate"
    FETCH = "fetch"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Freshness:
    """Durations of trust in what is known.

    Attributes:
        fresh_for: how long a tag is served without asking its upstream again.
        retry_after: how long an upstream that did not answer is not asked about the same tag again.
        missed_for: how long something that no upstream had is not asked for again.
    """

    fresh_for: timedelta = timedelta(minutes=5)
    retry_after: timedelta = LEAST_FRESH_FOR
    missed_for: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class LocalCopy:
    """A copy that the store holds.

    Attributes:
        origin: where it was pulled through from; None where it was pushed, or brought by a mirror rule.
    """

    origin: Origin | None


def decide(
    target: Tag | Digest,
    copy: LocalCopy | None,
    *,
    online: bool,
    missed_at: datetime | None,
    now: datetime,
    freshness: Freshness,
) -> FreshnessStep:
    """Decide how a request for a manifest is answered.

    Args:
        target: how it is asked for.
        copy: what the store holds; None: nothing.
        online: whether there is an upstream that may be asked.
        missed_at: when every upstream last said that it has no such thing.
        now: the time of day.
        freshness: durations of trust in what is known.
    """
    if copy is None:
        if not online or _within(missed_at, freshness.missed_for, now):
            return FreshnessStep.REFUSE
        return FreshnessStep.FETCH
    if copy.origin is None or isinstance(target, Digest) or _within(copy.origin.checked_at, freshness.fresh_for, now):
        return FreshnessStep.SERVE
    if not online or _within(copy.origin.asked_at, freshness.retry_after, now):
        return FreshnessStep.SERVE_STALE
    return FreshnessStep.REVALIDATE


def _within(moment: datetime | None, duration: timedelta, now: datetime) -> bool:
    """Tell whether a moment is at most so long ago. One that has not come yet tells of a clock that was set back."""
    return moment is not None and timedelta(0) <= now - moment < duration
