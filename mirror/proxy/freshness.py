"""Decision about the answer to a request for a manifest. Pure.

=============  =======================================  =========================
local copy     condition                                answer
=============  =======================================  =========================
any origin     requested by digest                      serve the copy
pushed         or copied by a mirror rule               serve the copy
pulled         confirmed within ``fresh_for``           serve the copy
pulled         no upstream may be asked                 serve the copy as stale
pulled         upstream asked within ``retry_after``    serve the copy as stale
pulled         otherwise                                revalidate with a HEAD
none           no upstream may be asked                 not found
none           missed within ``missed_for``             not found
none           otherwise                                fetch
=============  =======================================  =========================
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING

from mirror.oci import Digest, Tag

if TYPE_CHECKING:  # the settings import this module, and need no records
    from mirror.records.origins import Origin

#: Minimum of ``fresh_for``. An engine requests a tag twice during one install, and the tag must not move in between.
LEAST_FRESH_FOR = timedelta(minutes=2)


class FreshnessStep(Enum):
    """Next step of answering a request."""

    SERVE = "serve"
    SERVE_STALE = "serve stale"
    REVALIDATE = "revalidate"
    FETCH = "fetch"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Freshness:
    """Durations for which earlier answers of upstreams are trusted.

    Attributes:
        fresh_for: time for which a tag is served without asking its upstream again.
        retry_after: time until an upstream that did not confirm a tag is asked about this tag again.
        missed_for: time until content that no upstream had is requested again.
    """

    fresh_for: timedelta = timedelta(minutes=5)
    retry_after: timedelta = LEAST_FRESH_FOR
    missed_for: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class LocalCopy:
    """Manifest that the store holds.

    Attributes:
        origin: origin of a pulled-through manifest; None if the manifest was pushed or copied by a mirror rule.
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
    """Return the next step of answering a request for a manifest.

    Args:
        target: requested tag or digest.
        copy: manifest in the store; None if the store has none.
        online: True if at least one upstream may be asked.
        missed_at: time at which no upstream had the content; None if unknown.
        now: current time.
        freshness: durations for which earlier answers are trusted.
    """
    if copy is None:
        if not online or _within(missed_at, freshness.missed_for, now):
            return FreshnessStep.REFUSE
        return FreshnessStep.FETCH
    # The content of a digest cannot change, so a digest never needs to be confirmed.
    if copy.origin is None or isinstance(target, Digest) or _within(copy.origin.checked_at, freshness.fresh_for, now):
        return FreshnessStep.SERVE
    # Also keeps a client that got the old digest of a tag from getting a new one in the middle of an install.
    if not online or _within(copy.origin.asked_at, freshness.retry_after, now):
        return FreshnessStep.SERVE_STALE
    return FreshnessStep.REVALIDATE


def _within(moment: datetime | None, duration: timedelta, now: datetime) -> bool:
    """Return True if a moment is less than ``duration`` ago.

    A moment in the future does not count: the clock was set back since, so the age is unknown.
    """
    return moment is not None and timedelta(0) <= now - moment < duration
