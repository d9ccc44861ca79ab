"""The configuration of a running server, which is read again on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mirror.app.configuration.configuration_state import ConfigurationState
from mirror.app.configuration.configuration_warnings import file_warnings
from mirror.app.configuration.restart_needs import usable_now
from mirror.app.tls.tls_listening import server_contexts
from mirror.oci.errors import ConfigurationFault, MirrorError
from mirror.runtime.clock import Clock
from mirror.settings import Settings


@dataclass(frozen=True, slots=True)
class Reading:
    """Outcome of a look at the configuration.

    Attributes:
        settings: settings to use; None if the configuration is unusable.
        waiting: keys whose change waits for a restart.
        fault: reason why the configuration is unusable; empty if it is not.
    """

    settings: Settings | None
    waiting: tuple[str, ...] = ()
    fault: str = ""


class SettingsSource:
    """Reads the configuration again, and keeps the state of the server's configuration.

    Args:
        read: reads the configuration: its file, the environment and the flags of the server.
        file: path of the file; empty without a file.
        configured: settings as read at the start.
        running: settings in use.
        clock: source of the time.

    Attributes:
        state: the state.
    """

    def __init__(
        self, read: Callable[[], Settings], file: str, configured: Settings, running: Settings, clock: Clock
    ) -> None:
        self._read = read
        self._configured = configured
        self._running = running
        self._clock = clock
        self.state = ConfigurationState(running, file, clock.now())

    @property
    def number(self) -> int:
        """Number of the next reload, from 1."""
        return self.state.reloads + 1

    def look(self) -> Reading:
        """Read the configuration. Blocks."""
        try:
            self._require_content()
            read = self._read()
            self._require_files(read)
            settings, waiting = usable_now(read, self._configured, self._running)
            if waiting:  # the restart must not fail over files that nobody has looked at
                server_contexts(read)
        except MirrorError as error:
            return Reading(None, fault=str(error))
        except Exception as error:  # noqa: BLE001 - whatever is in the file, it must not end the server
            return Reading(None, fault=f"unexpected {type(error).__name__}: {error}")
        return Reading(settings, waiting)

    def _require_content(self) -> None:
        """Raise ConfigurationFault if the file is empty, as one that is being written may be."""
        file = Path(self.state.file)
        if self.state.file and file.is_file() and not file.stat().st_size:
            raise ConfigurationFault(f"{file}: is empty, fix: write the settings; a comment is enough for the defaults")

    def _require_files(self, settings: Settings) -> None:
        """Raise ConfigurationFault if the settings name files that cannot be used, unless those in use do so too."""
        file = Path(self.state.file) if self.state.file else None
        known = file_warnings(self.state.settings, file)
        if new := [sentence for sentence in file_warnings(settings, file) if sentence not in known]:
            raise ConfigurationFault("\n".join(new))

    def end(self, reading: Reading, refusal: str) -> ConfigurationState:
        """End a reload, and return the new state.

        Args:
            reading: what was read.
            refusal: reason why the server does not use the settings; empty if it uses them.
        """
        at = self._clock.now()
        if reading.settings is None or refusal:
            self.state = self.state.refused(reading.fault or refusal, at)
        else:
            self.state = self.state.accepted(reading.settings, reading.waiting, at)
        return self.state
