"""Log lines of commands: events of ours in a user's words, and nothing of libraries."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import structlog

from mirror.cli.command_log import CommandLog

RETRY = {"event": "upstream request failed, trying again", "level": "warning", "upstream": "hub", "retry": "1 of 2"}


LOGGING = """
import logging, structlog
from mirror.cli.command_log import STANDARD_ERROR, CommandLog
from mirror.runtime import logs
with logs.configured("info", stream=STANDARD_ERROR, renderer=CommandLog()):
    logging.getLogger("alembic").error("Running upgrade 0001 -> 0002")
    structlog.get_logger().info("server listening")
    structlog.get_logger().warning("upstream circuit breaker opened", host="h")
"""


def line(log: CommandLog, **event: Any) -> str | None:
    try:
        return log(None, "", event)
    except structlog.DropEvent:
        return None


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (
            {"event": "data folder created", "level": "info", "path": "data", "format": 17, "timestamp": "…"},
            "note: data folder created (path data, format 17)",
        ),
        (
            {**RETRY, "error": "upstream hub: no connection"},
            "warning: upstream request failed, trying again (1 of 2): upstream hub: no connection",
        ),
        (
            {"event": "upstream circuit breaker opened", "level": "warning", "host": "h", "error": "e"},
            ("warning: upstream circuit breaker opened (host h): e"),
        ),
        ({"event": "server listening", "level": "info"}, None),
        ({"event": "plugin refused", "level": "warning"}, None),
    ],
)
def test_events(event: dict[str, Any], told: str | None) -> None:
    assert line(CommandLog(), **event) == told


def test_a_repeated_retry_is_told_once_in_a_while() -> None:
    now = [0.0]
    log = CommandLog(lambda: now[0])
    told = []
    for seconds, upstream in ((0.0, "hub"), (1.0, "hub"), (1.0, "other"), (5.0, "hub")):
        now[0] = seconds
        told.append(line(log, **{**RETRY, "upstream": upstream}) is not None)
    assert told == [True, False, True, True]


def test_libraries_say_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", LOGGING], capture_output=True, text=True, check=True, timeout=180)
    assert done.stderr == "warning: upstream circuit breaker opened (host h)\n"
