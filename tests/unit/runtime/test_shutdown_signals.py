import asyncio
import os
import signal

import pytest

from mirror.runtime import shutdown_signals


@pytest.fixture(autouse=True)
def signals_as_they_were():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_asks_to_stop(number):
    with shutdown_signals.stop_requested() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 30)


async def test_a_second_signal_on_the_way_out_is_ignored():
    with shutdown_signals.stop_requested() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(stop.wait(), 30)
    os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


async def test_without_a_signal_nothing_is_changed():
    with shutdown_signals.stop_requested():
        pass
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_the_end_of_the_parent_asks_to_stop():
    ours, theirs = os.pipe()
    with shutdown_signals.stop_requested(ours) as stop:
        os.close(theirs)
        await asyncio.wait_for(stop.wait(), 30)
    os.close(ours)


async def test_a_hangup_before_the_server_can_reload_is_kept_once():
    shutdown_signals.keep_hangups()
    os.kill(os.getpid(), signal.SIGHUP)
    with shutdown_signals.hangups() as hung_up:
        assert hung_up.is_set()
    with shutdown_signals.hangups() as hung_up:
        assert not hung_up.is_set()
