from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import ConfigurationFault
from mirror.records.sync_runs import RuleRecord, Run, RunOutcome
from mirror.sync.schedule import Cron, Every, Schedule, due_at, next_run

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
MOMENTS = st.integers(1_577_836_800, 2_051_222_400).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
SCHEDULES = st.one_of(
    st.integers(1, 10**6).map(lambda seconds: Every(timedelta(seconds=seconds))),
    st.sampled_from(["* * * * *", "17 */6 * * *", "0 3 * * 1", "30 2 29 2 *"]).map(Cron),
)


def past(
    known_since: datetime, started_at: datetime | None = None, outcome: RunOutcome = RunOutcome.SUCCEEDED
) -> RuleRecord:
    """Return a rule's record with its last run."""
    return RuleRecord(known_since, Run(1, "contiv", started_at, outcome=outcome) if started_at else None)


@pytest.mark.parametrize(
    "expression", ["", "* * * *", "61 * * * *", "0 0 31 2 *", "0 0 0 * * *", "@daily", "a b c d e"]
)
def test_expressions_that_mean_nothing_are_named(expression: str) -> None:
    with pytest.raises(ConfigurationFault, match="cron"):
        Cron.parse(expression)


@pytest.mark.parametrize("zone", ["", "Nowhere/City", "../../etc/passwd", "/etc/passwd"])
def test_zones_that_do_not_exist_are_named(zone: str) -> None:
    with pytest.raises(ConfigurationFault, match="no time zone"):
        Cron.parse("0 3 * * *", zone)


@pytest.mark.parametrize(
    ("zone", "after", "due"),
    [
        (None, "2026-01-10T02:30", "2026-01-10T03:00"),
        ("Europe/Zurich", "2026-01-10T01:30", "2026-01-10T02:00"),
        ("Europe/Zurich", "2026-07-10T00:30", "2026-07-10T01:00"),
        ("Asia/Kolkata", "2026-07-10T00:00", "2026-07-10T21:30"),
    ],
)
def test_cron_is_read_in_its_time_zone(zone: str | None, after: str, due: str) -> None:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    assert Cron.parse("0 3 * * *", zone).following(moment) == datetime.fromisoformat(due).replace(tzinfo=UTC)


@pytest.mark.parametrize(("after", "times"), [("2026-03-28T12:00", 1), ("2026-10-24T12:00", 1)])
def test_a_time_that_summer_time_skips_or_repeats_comes_once(after: str, times: int) -> None:
    """02:30 does not exist on 2026-03-29, and occurs twice on 2026-10-25."""
    cron, moment = Cron.parse("30 2 * * *", "Europe/Zurich"), datetime.fromisoformat(after).replace(tzinfo=UTC)
    within, found = moment + timedelta(days=1), []
    while (moment := cron.following(moment)) < within:
        found.append(moment)
    assert len(found) == times


def test_an_interval_is_counted_from_the_last_run() -> None:
    due = next_run(Every(6 * HOUR), "contiv", past(NOON, NOON), NOON - HOUR)
    assert NOON + 6 * HOUR <= due <= NOON + 6 * HOUR + timedelta(minutes=10)


def test_a_rule_that_never_ran_is_due_at_once_or_at_its_time() -> None:
    assert NOON <= next_run(Every(6 * HOUR), "contiv", past(NOON), NOON) <= NOON + timedelta(seconds=30)
    due = next_run(Cron.parse("0 18 * * *"), "contiv", past(NOON), NOON)
    assert NOON + 6 * HOUR <= due <= NOON + 6 * HOUR + MINUTE


@pytest.mark.parametrize("schedule", [Every(HOUR), Cron("0 * * * *")])
def test_a_run_that_was_missed_is_made_up_for_once(schedule: Every | Cron) -> None:
    opened = NOON + 20 * HOUR
    due = next_run(schedule, "contiv", past(NOON, NOON), opened)
    assert opened <= due <= opened + timedelta(seconds=30)
    after = next_run(schedule, "contiv", past(NOON, due), opened)
    assert after > due + 50 * MINUTE


def test_a_cron_rule_that_never_ran_and_missed_its_time_is_made_up_for() -> None:
    opened = NOON + 48 * HOUR
    assert next_run(Cron("0 3 * * *"), "contiv", past(NOON), opened) <= opened + timedelta(seconds=30)


@given(SCHEDULES, NAMES, MOMENTS, MOMENTS)
def test_an_interrupted_run_goes_on_at_once(
    schedule: Every | Cron, rule: str, started: datetime, opened: datetime
) -> None:
    due = next_run(schedule, rule, past(started, started, RunOutcome.INTERRUPTED), opened)
    assert due <= max(started, opened + timedelta(seconds=30))


@given(SCHEDULES, NAMES, MOMENTS, MOMENTS)
def test_a_run_is_never_due_before_its_time_nor_much_later(
    schedule: Every | Cron, rule: str, started: datetime, opened: datetime
) -> None:
    due = next_run(schedule, rule, past(started, started), opened)
    following = schedule.following(started)
    assert due >= max(following, opened)
    assert due <= max(following + schedule.most_spread, opened + timedelta(seconds=30))
    assert due == next_run(schedule, rule, past(started, started), opened)


@pytest.mark.parametrize("schedule", [Every(6 * HOUR), Cron("0 3 * * *")])
def test_a_changed_rule_is_due_at_once(schedule: Every | Cron) -> None:
    opened = NOON + MINUTE
    assert opened <= next_run(schedule, "contiv", past(NOON, NOON), opened, changed=True) <= opened + MINUTE
    assert next_run(schedule, "contiv", past(NOON), opened, changed=True) == next_run(
        schedule, "contiv", past(NOON), opened
    )


def test_rules_with_the_same_times_are_spread() -> None:
    due = {next_run(Cron("0 3 * * *"), f"rule{number}", past(NOON, NOON), NOON) for number in range(100)}
    assert len(due) == 100
    assert max(due) - min(due) > timedelta(seconds=45)


@given(SCHEDULES, NAMES, MOMENTS, MOMENTS, MOMENTS, MOMENTS)
def test_a_rule_runs_again_whatever_is_done_to_the_clock(
    schedule: Every | Cron, rule: str, known_since: datetime, started: datetime, opened: datetime, now: datetime
) -> None:
    due = due_at(schedule, rule, past(known_since, started), opened, now)
    assert due <= max(now, schedule.following(now)) + schedule.most_spread + timedelta(seconds=30)
    # A run at that time makes the rule due at a later time: a jump never makes a rule run again and again.
    ran = max(due, now)
    assert due_at(schedule, rule, past(known_since, ran), opened, ran) > ran


@given(SCHEDULES, NAMES, MOMENTS, MOMENTS)
def test_a_run_recorded_in_the_future_makes_its_rule_due_at_once(
    schedule: Every | Cron, rule: str, now: datetime, opened: datetime
) -> None:
    ahead = now + timedelta(days=365)
    assert due_at(schedule, rule, past(ahead, ahead), opened, now) == now
    assert due_at(schedule, rule, past(ahead), opened, now) == now


@given(SCHEDULES, NAMES, MOMENTS, MOMENTS)
def test_an_ordinary_clock_changes_nothing(
    schedule: Every | Cron, rule: str, started: datetime, opened: datetime
) -> None:
    now = max(started, opened)
    known = past(started, started)
    assert due_at(schedule, rule, known, opened, now) == next_run(schedule, rule, known, opened)


@pytest.mark.parametrize("schedule", [Every(6 * HOUR), Cron("0 3 * * *")], ids=str)
def test_a_paused_run_is_due_when_it_may_go_on(schedule: Schedule) -> None:
    """Rules with one upstream do not all go on at the same moment."""
    at = NOON + 2 * HOUR
    paused = Run(1, "contiv", NOON, outcome=RunOutcome.PAUSED, goes_on_at=at)
    due = next_run(schedule, "contiv", RuleRecord(NOON, paused), NOON)
    assert at <= due <= at + timedelta(seconds=30)
    assert due != next_run(schedule, "another", RuleRecord(NOON, paused), NOON)
