"""Schedules, and the time of the next run computed from schedule, last run and rule name. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from mirror.oci import Digest
from mirror.oci.errors import ConfigurationFault, UpstreamPaused
from mirror.runtime.durations import duration_text

if TYPE_CHECKING:  # the settings import this module, and need no records
    from mirror.records.sync_runs import RuleRecord

#: Longest expression of cron. The library reads numbers of any length.
_MOST_CRON_CHARACTERS: Final = 500

#: Share of its interval by which a run may be delayed, so that rules do not all start at once.
_SPREAD: Final = 0.1
#: Upper bounds of that delay: with an interval, with a cron expression, and after a start of the process.
_MOST_EVERY_SPREAD: Final = timedelta(minutes=10)
_MOST_CRON_SPREAD: Final = timedelta(minutes=1)
_MOST_START_SPREAD: Final = timedelta(seconds=30)
#: Pause of a rule if its upstream asked for one without saying how long, and the shortest and longest pauses. With
#: "Retry-After: 0" the rule would run all the time.
_USUAL_PAUSE: Final = timedelta(minutes=15)
_SHORTEST_PAUSE: Final = timedelta(minutes=1)
_LONGEST_PAUSE: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Every:
    """Schedule of runs at a fixed interval, counted from the start of the last run."""

    interval: timedelta

    def following(self, moment: datetime) -> datetime:
        """Return the time of the run after a run started at ``moment``."""
        return moment + self.interval

    @property
    def most_spread(self) -> timedelta:
        """Longest delay of a run, which keeps rules from starting all at once."""
        return min(self.interval * _SPREAD, _MOST_EVERY_SPREAD)

    def __str__(self) -> str:
        return f"every {duration_text(self.interval)}"


@dataclass(frozen=True, slots=True)
class Cron:
    """Schedule by a cron expression in a time zone, with the semantics of Debian's cron."""

    expression: str
    zone: tzinfo = UTC

    def __post_init__(self) -> None:
        # CronSim (2.8) also accepts six fields with seconds. It ignores how Debian's cron handles summer time there.
        if len(self.expression.split()) != 5 or len(self.expression) > _MOST_CRON_CHARACTERS:
            raise ConfigurationFault(
                f"{self.expression[:80]!r} does not have the five fields of cron; fix: write it like '17 */6 * * *'"
            )
        try:
            next(CronSim(self.expression, datetime(2000, 1, 1, tzinfo=UTC)))
        except CronSimError as error:
            field = str(error).removeprefix("Bad ")
            raise ConfigurationFault(
                f"{self.expression[:80]!r} has a wrong {field} of cron; fix: write it like '17 */6 * * *'"
            ) from error
        except StopIteration:  # CronSim gives up after 50 years without a match
            raise ConfigurationFault(
                f"{self.expression[:80]!r} matches no date; fix: write a day that exists"
            ) from None

    @classmethod
    def parse(cls, expression: str, zone: str | None = None) -> Cron:
        """Parse an expression and the name of a time zone. None means UTC.

        Raises:
            ConfigurationFault: the expression or the time zone is invalid.
        """
        if zone is None:
            return cls(expression)
        try:
            return cls(expression, ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigurationFault(
                f"no time zone is named {zone[:80]!r}; fix: write it like Europe/Zurich"
            ) from error

    def following(self, moment: datetime) -> datetime:
        """Return the first matching time after ``moment``, in UTC."""
        return next(CronSim(self.expression, moment.astimezone(self.zone))).astimezone(UTC)

    @property
    def most_spread(self) -> timedelta:
        """Longest delay of a run, which keeps rules from starting all at once."""
        return _MOST_CRON_SPREAD

    def __str__(self) -> str:
        return f"cron {self.expression} ({self.zone})"


Schedule = Every | Cron


def goes_on_at(schedule: Schedule | None, started_at: datetime, now: datetime, pause: UpstreamPaused) -> datetime:
    """Return the time at which a paused run goes on.

    This is the end of the pause that the upstream asked for, at most a day from now. If the upstream named no time, it
    is the next time of the schedule, at most 15 minutes from now. It is at least a minute from now.

    Args:
        schedule: schedule of the rule; None if the rule runs only on request.
        started_at: start of the run.
        now: current time.
        pause: reason of the pause.
    """
    asked_seconds = pause.detail.get("retry_after_seconds")
    # The rest of a circuit breaker is our own measure, and no wish of the upstream.
    if asked_seconds is not None and "since" not in pause.detail:
        asked = min(timedelta(seconds=math.ceil(float(asked_seconds))), _LONGEST_PAUSE)
        return now + max(asked, _SHORTEST_PAUSE)
    soon = now + _USUAL_PAUSE
    return soon if schedule is None else min(soon, max(schedule.following(started_at), now + _SHORTEST_PAUSE))


def due_at(
    schedule: Schedule, rule: str, known: RuleRecord, opened_at: datetime, now: datetime, *, changed: bool = False
) -> datetime:
    """Return the time at which a rule is due, as :func:`next_run`, whatever was done to the clock.

    A record in the future was written before the clock was set back. The rule is then due at once. Otherwise the rule
    would not run until the clock reaches that time again, which may take years.

    Args:
        schedule: schedule of the rule.
        rule: name of the rule.
        known: record of the rule with the time it was first seen and the last run.
        opened_at: time at which this process began to watch its rules.
        now: current time.
        changed: True if the configuration of the rule has changed since its last run.
    """
    recorded = known.known_since if known.last_run is None else known.last_run.started_at
    if recorded > now:
        return now
    if opened_at > now:  # also from before the clock was set back
        opened_at = recorded
    return next_run(schedule, rule, known, opened_at, changed=changed)


def next_run(
    schedule: Schedule, rule: str, known: RuleRecord, opened_at: datetime, *, changed: bool = False
) -> datetime:
    """Return the time at which a rule is due.

    A changed rule is due at once, and so is a rule whose run was interrupted. A paused run is due when it may go on. A
    run missed while no process was running is made up for once, however many times were missed. A rule without a run so
    far is due at once with an interval, and at the next matching time with a cron expression. Rules with the same times
    are spread by a delay derived from their names, always the same share of the longest delay, so all processes compute
    the same time.

    Args:
        schedule: schedule of the rule.
        rule: name of the rule.
        known: record of the rule with the time it was first seen and the last run.
        opened_at: time at which this process began to watch its rules. No rule is due earlier.
        changed: True if the rule says something else than at its last run.

    Returns:
        A time in UTC, possibly in the past.
    """
    from mirror.records.sync_runs import RunOutcome

    # Not random: every worker computes the time for itself, and all must come to the same answer (ADR 9).
    part, last = _part(rule), known.last_run
    earliest = opened_at + min(schedule.most_spread, _MOST_START_SPREAD) * part
    if last is not None:
        # A run whose process was killed stays RUNNING in the journal. The rule's lock tells whether a process is
        # still at work, so the run may be called due here.
        if changed or last.outcome in {RunOutcome.RUNNING, RunOutcome.INTERRUPTED}:
            return max(last.started_at, earliest)
        if last.outcome is RunOutcome.PAUSED and last.goes_on_at is not None:
            return max(last.goes_on_at + min(schedule.most_spread, _MOST_START_SPREAD) * part, earliest)
        due = schedule.following(last.started_at)
    elif isinstance(schedule, Every):
        return max(known.known_since, earliest)
    else:
        due = schedule.following(known.known_since)
    return max(due + schedule.most_spread * part, earliest)


def _part(rule: str) -> float:
    """Return a number from 0 up to but excluding 1, always the same for a name."""
    return int(Digest.of(rule.encode()).hex[:12], 16) / 16**12
