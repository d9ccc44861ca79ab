"""Schedules, and the next run of a rule by its schedule, its last run and its name. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from mirror.oci import Digest
from mirror.oci.errors import ConfigurationFault
from mirror.records.sync_runs import RuleRecord, RunOutcome

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])")

#: Rules are spread over this part of their interval, and at most over so long.
_SPREAD: Final = 0.1
_MOST_EVERY_SPREAD: Final = timedelta(minutes=10)
_MOST_CRON_SPREAD: Final = timedelta(minutes=1)
_MOST_START_SPREAD: Final = timedelta(seconds=30)


def parse_duration(text: str) -> timedelta:
    """Read ``90s``, ``30m``, ``6h`` or ``7d``.

    Raises:
        ConfigurationFault: it is something else.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ConfigurationFault(f"{text[:40]!r} is not a duration: write 90s, 30m, 6h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def duration_text(duration: timedelta) -> str:
    """A duration as :func:`parse_duration` reads it, in the largest unit that fits; parts of a second are left out."""
    seconds = int(duration.total_seconds())
    size, unit = next(
        (size, unit) for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)) if seconds % size == 0
    )
    return f"{seconds // size}{unit}"


@dataclass(frozen=True, slots=True)
class Every:
    """At an interval, counted from the beginning of the last run."""

    interval: timedelta

    def following(self, moment: datetime) -> datetime:
        """The next time after a run that began at ``moment``."""
        return moment + self.interval

    @property
    def most_spread(self) -> timedelta:
        """The longest time that a run is put off, so that rules do not all begin at once."""
        return min(self.interval * _SPREAD, _MOST_EVERY_SPREAD)

    def __str__(self) -> str:
        return f"every {duration_text(self.interval)}"


@dataclass(frozen=True, slots=True)
class Cron:
    """At the times of a cron expression, as Debian's cron understands it, in a time zone."""

    expression: str
    zone: tzinfo = UTC

    def __post_init__(self) -> None:
        if len(self.expression.split()) != 5:
            raise ConfigurationFault(f"cron {self.expression[:80]!r}: write five fields, as in '17 */6 * * *'")
        try:
            next(CronSim(self.expression, datetime(2000, 1, 1, tzinfo=UTC)))
        except CronSimError as error:
            raise ConfigurationFault(f"cron {self.expression[:80]!r}: {error}") from error
        except StopIteration:
            raise ConfigurationFault(f"cron {self.expression[:80]!r} never comes") from None

    @classmethod
    def parse(cls, expression: str, zone: str | None = None) -> Cron:
        """Read an expression and the name of a time zone; None is UTC.

        Raises:
            ConfigurationFault: either means nothing.
        """
        if zone is None:
            return cls(expression)
        try:
            return cls(expression, ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigurationFault(f"no time zone is named {zone[:80]!r}: write it as Europe/Zurich") from error

    def following(self, moment: datetime) -> datetime:
        """The next time after ``moment``."""
        return next(CronSim(self.expression, moment.astimezone(self.zone))).astimezone(UTC)

    @property
    def most_spread(self) -> timedelta:
        """The longest time that a run is put off, so that rules do not all begin at once."""
        return _MOST_CRON_SPREAD

    def __str__(self) -> str:
        return f"cron {self.expression} ({self.zone})"


Schedule = Every | Cron


def next_run(schedule: Schedule, rule: str, known: RuleRecord, opened_at: datetime) -> datetime:
    """Tell when a rule is due.

    A run that was interrupted is due again at once; one that was missed, while nothing was running, is made up for
    once. A rule that never ran is due at once where it has an interval, and at its next time where it has a cron
    expression. Rules with the same times are spread a little, by their names: always by the same part of what the
    schedule allows, so that every process comes to the same answer.

    Args:
        schedule: the rule's schedule.
        rule: the rule's name.
        known: the rule's record: when it was first seen, and its last run.
        opened_at: when this process began to look after its rules: nothing is due before.

    Returns:
        A moment in UTC; it may have passed.
    """
    part, last = _part(rule), known.last_run
    earliest = opened_at + min(schedule.most_spread, _MOST_START_SPREAD) * part
    if last is not None:
        if last.outcome in {RunOutcome.RUNNING, RunOutcome.INTERRUPTED}:
            return max(last.started_at, earliest)
        due = schedule.following(last.started_at)
    elif isinstance(schedule, Every):
        return max(known.known_since, earliest)
    else:
        due = schedule.following(known.known_since)
    return max(due + schedule.most_spread * part, earliest)


def _part(rule: str) -> float:
    """A number from 0 up to 1 that is always the same for a name."""
    return int(Digest.of(rule.encode()).hex[:12], 16) / 16**12
