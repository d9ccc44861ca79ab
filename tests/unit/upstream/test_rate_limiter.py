"""Rate limits: the arithmetic, the windows of the day, and limits shared by processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from datetime import UTC, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import ConfigurationFault
from mirror.runtime.clock import SystemClock
from mirror.upstream.limits.bandwidth import BandwidthWindow, rate_at
from mirror.upstream.limits.rate_limiter import ProcessRateAccount, RateLimiter, charged, opened_account
from tests.support.clocks import HandClock

BY_DAY = BandwidthWindow(100, time(8), time(18))
BY_NIGHT = BandwidthWindow(50, time(22, 30), time(6))
ALWAYS = BandwidthWindow(10)


@pytest.mark.parametrize(
    ("windows", "moment", "rate"),
    [
        ([], "12:00", None),
        ([BY_DAY], "07:59", None),
        ([BY_DAY], "08:00", 100),
        ([BY_DAY], "17:59", 100),
        ([BY_DAY], "18:00", None),
        ([BY_NIGHT], "22:29", None),
        ([BY_NIGHT], "22:30", 50),
        ([BY_NIGHT], "00:00", 50),
        ([BY_NIGHT], "05:59", 50),
        ([BY_NIGHT], "06:00", None),
        ([BY_DAY, ALWAYS], "12:00", 100),
        ([BY_DAY, ALWAYS], "20:00", 10),
        ([ALWAYS, BY_DAY], "12:00", 10),
    ],
)
def test_the_rate_by_the_time_of_day(windows: list[BandwidthWindow], moment: str, rate: int | None) -> None:
    now = datetime.combine(datetime(2026, 3, 1, tzinfo=UTC), time.fromisoformat(moment), UTC)
    assert rate_at(windows, UTC, now) == rate


@pytest.mark.parametrize(("month", "rate"), [(1, None), (7, 100)])
def test_windows_follow_the_clock_of_their_zone(month: int, rate: int | None) -> None:
    """06:30 UTC is 07:30 in Berlin in winter, and 08:30 in summer."""
    now = datetime(2026, month, 15, 6, 30, tzinfo=UTC)
    assert rate_at([BY_DAY], ZoneInfo("Europe/Berlin"), now) == rate


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50)), max_size=50))
def test_no_more_passes_than_rate_and_burst_allow(events: list[tuple[float, int]]) -> None:
    rate, burst_seconds = 10.0, 1.0
    now = begun = 0.0
    paid_at, passed = float("-inf"), 0
    for pause, amount in events:
        now += pause
        paid_at = charged(paid_at, now, amount / rate, burst_seconds)
        passed += amount
        now = max(now, paid_at)  # each caller waits until its charge is paid
        assert passed <= (now - begun + burst_seconds) * rate + 1e-6


def test_a_pace_lets_a_burst_through_and_then_waits() -> None:
    clock = HandClock()
    pace = RateLimiter(lambda: 2.0, ProcessRateAccount(), clock, least_burst=1)
    assert [pace.charge(1) for _ in range(4)] == [0, 0, 0.5, 1.0]
    clock.advance(seconds=10)
    assert [pace.charge(1) for _ in range(3)] == [0, 0, 0.5]


def test_a_slow_pace_does_not_make_the_first_one_wait() -> None:
    pace = RateLimiter(lambda: 0.1, ProcessRateAccount(), HandClock(), least_burst=1)
    assert [pace.charge(1), pace.charge(1)] == [0, 10]


def test_without_a_rate_nothing_waits() -> None:
    assert RateLimiter(lambda: None, ProcessRateAccount(), HandClock()).charge(10**12) == 0


def test_a_shared_account_is_one_account(tmp_path: Path) -> None:
    clock = HandClock()
    with opened_account(tmp_path / "limits" / "hub") as one, opened_account(tmp_path / "limits" / "hub") as other:
        paces: list[Callable[[float], float]] = [
            RateLimiter(lambda: 1.0, account, clock, least_burst=1).charge for account in (one, other)
        ]
        assert [paces[0](1), paces[1](1), paces[0](1), paces[1](1)] == [0, 1, 2, 3]


def test_a_moment_of_an_earlier_boot_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "hub"
    with opened_account(path) as account:
        account.charge(1e9, 1.0, 1.0)
    path.write_bytes(b"another boot".ljust(36) + path.read_bytes()[36:])
    with opened_account(path) as account:
        assert account.charge(5.0, 1.0, 1.0) == 5.0


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 1000])
def test_a_file_of_garbage_is_no_harm(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hub"
    path.write_bytes(content)
    with opened_account(path) as account:
        assert account.charge(5.0, 1.0, 1.0) == 5.0


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "limits").write_text("a file")
    with pytest.raises(ConfigurationFault, match="limits"), opened_account(tmp_path / "limits" / "hub"):
        pass


def _charge_often(path: str, times: int) -> None:
    with opened_account(Path(path)) as account:
        pace = RateLimiter(lambda: 100.0, account, SystemClock())
        for _ in range(times):
            pace.charge(1)


def test_several_processes_lose_no_charge(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_charge_often, args=(str(tmp_path / "hub"), 2000)) for _ in range(3)]
    began = SystemClock().monotonic_seconds()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    with opened_account(tmp_path / "hub") as account:
        paid_at = account.charge(SystemClock().monotonic_seconds(), 0.0, 1e9)
    assert paid_at - began > 58  # 6000 charges at 100 a second, less the burst that is given
