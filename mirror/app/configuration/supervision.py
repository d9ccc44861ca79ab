"""Reload of the workers by their parent: all of them take the new settings, or none."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mirror.app.configuration.configuration_state import ConfigurationState
from mirror.app.configuration.server_record import ServerRecord
from mirror.app.configuration.settings_source import Reading, SettingsSource
from mirror.runtime.worker_processes import WorkerProcesses
from mirror.settings import Settings

#: Longest time in which the workers prepare for new settings.
_PREPARATION_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """Message to a worker: prepare for these settings, and answer.

    Attributes:
        number: number of the reload.
        settings: the settings.
    """

    number: int
    settings: Settings


@dataclass(frozen=True, slots=True)
class Decision:
    """Message to a worker: use what was prepared, or drop it, and answer.

    Attributes:
        number: number of the reload.
        state: the state of the configuration from now on. A refusal in it means: drop what was prepared.
    """

    number: int
    state: ConfigurationState


class Supervision:
    """Reloads the workers of a parent process.

    Args:
        source: the configuration.
        record: record of the server in the data folder.
        extend: makes room for the metrics of settings; returns False if there is none.
    """

    def __init__(self, source: SettingsSource, record: ServerRecord, extend: Callable[[Settings], bool]) -> None:
        self._source = source
        self._record = record
        self._extend = extend
        self._has_terminal = has_terminal()

    def hung_up(self, workers: WorkerProcesses) -> None:
        """Reload after a SIGHUP. End the server if the SIGHUP means that its terminal is gone."""
        if self._has_terminal and not has_terminal():
            os.kill(os.getpid(), signal.SIGTERM)
            return
        number = self._source.number
        self._record.reload_begins(number)
        reading = self._source.look()
        refusal = reading.fault or self._propose(number, reading, workers)
        state = self._source.end(reading, refusal)
        # Told to those who wait only when all workers follow it. One that has died begins with it.
        workers.propose(number, Decision(number, state), _PREPARATION_SECONDS)
        self._record.reload_ended(number, state.refusal, state.waiting)

    def _propose(self, number: int, reading: Reading, workers: WorkerProcesses) -> str:
        if reading.settings is None or not self._extend(reading.settings):
            return NO_ROOM
        return next(iter(workers.propose(number, Proposal(number, reading.settings), _PREPARATION_SECONDS)), "")


#: Refusal of settings whose metrics do not fit.
NO_ROOM: Final = (
    "since its start, the server has seen more names of rules, upstreams and quotas than its metrics have room for; "
    "fix: restart the server"
)


def has_terminal() -> bool:
    """Return True if standard error is a terminal that somebody looks at."""
    try:
        return os.isatty(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
