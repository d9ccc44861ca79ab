"""The address that accepts no connection and refuses none."""

import socket

import pytest

from tests.harness.black_hole import BlackHole


def test_who_connects_is_neither_answered_nor_refused() -> None:
    with BlackHole() as hole:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                # The kernel would answer within microseconds on the loopback, if there were an answer.
                socket.create_connection(("127.0.0.1", hole.port), timeout=0.2)


def test_afterwards_nothing_is_there() -> None:
    with BlackHole() as hole:
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", hole.port), timeout=30)
