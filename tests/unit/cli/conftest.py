"""Commands run inside the test process here, so they must leave its logging alone."""

from contextlib import nullcontext

import pytest

from mirror.runtime import logs


@pytest.fixture(autouse=True)
def logging_is_left_alone(monkeypatch):
    monkeypatch.setattr(logs, "configured", lambda *_: nullcontext())
