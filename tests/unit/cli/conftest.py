"""Fixtures for commands that run inside the test process, so they must not change its logging."""

from contextlib import nullcontext

import pytest

from mirror.runtime import logs


@pytest.fixture(autouse=True)
def logging_is_left_alone(monkeypatch):
    monkeypatch.setattr(logs, "configured", lambda *_, **__: nullcontext())
