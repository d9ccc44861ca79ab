"""Request to running servers to read their configuration again. All calls block."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mirror.app.configuration.server_record import RunningServer, find_server, pid_namespace, running_servers
from mirror.store.storage_errors import storage_faults

_PAUSE_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """Outcome of a reload.

    Attributes:
        server: the server.
        refusal: reason why the server keeps its last settings, or why nobody knows; empty after success.
        waiting: keys whose change waits for a restart.
        has_answered: False if nobody knows whether the server has reloaded.
    """

    server: RunningServer
    refusal: str = ""
    waiting: tuple[str, ...] = ()
    has_answered: bool = True

    def to_json(self) -> dict[str, object]:
        """Return the outcome as plain values."""
        return {
            "address": self.server.addresses[0],
            "pid": self.server.pid,
            "succeeded": not self.refusal,
            "error": self.refusal or None,
            "waits_for_restart": list(self.waiting),
        }


def reload_servers(root: Path, within_seconds: float) -> list[ReloadOutcome]:
    """Let all servers on a data folder read their configuration again, and wait until their workers use it.

    Args:
        root: the data folder.
        within_seconds: longest time to wait for each server.

    Raises:
        StorageFault: the records of the servers cannot be read.
    """
    with storage_faults(f"look for a server on {root}"):
        return [_reload(file, server, within_seconds) for file, server in running_servers(root).items()]


def _unknown(server: RunningServer, why: str) -> ReloadOutcome:
    return ReloadOutcome(server, why, has_answered=False)


def _reload(file: Path, server: RunningServer, within_seconds: float) -> ReloadOutcome:
    if server.pid_namespace != pid_namespace():
        return _unknown(
            server,
            "the server runs in another container; fix: run this command there, or send SIGHUP to its first process, "
            "such as by 'docker kill --signal HUP NAME'",
        )
    try:
        os.kill(server.pid, signal.SIGHUP)
    except ProcessLookupError:
        return _unknown(server, "the server has just ended; fix: see its log")
    except PermissionError:
        return _unknown(
            server, f"process {server.pid} belongs to another user; fix: run this command as that user, or as root"
        )
    # A reload that is under way may have read the files before they were changed. The one after it is awaited.
    number, until_seconds = server.begun + 1, time.monotonic() + within_seconds
    while time.monotonic() < until_seconds:
        try:
            now = find_server(file)
        except FileNotFoundError:
            now = None
        if now is None:
            return _unknown(server, "the server has ended meanwhile; fix: see its log")
        if now.ended >= number:
            return ReloadOutcome(now, now.refusal, now.waiting)
        time.sleep(_PAUSE_SECONDS)
    return _unknown(
        server, f"the server did not answer within {within_seconds:g} s, and may still reload; fix: see its log"
    )
