"""State of the configuration of a running server: the settings in use, and the outcome of the last reload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from mirror.oci.timestamps import machine_time
from mirror.runtime.clock import Clock, SystemClock
from mirror.runtime.metrics.shared_metrics import Labels, MetricFamily, MetricKind
from mirror.settings import Settings

#: Longest reason of a refusal that is kept, in characters.
_MOST_CHARACTERS: Final = 2000


def _gauge(name: str, explanation: str) -> MetricFamily:
    return MetricFamily(f"plugin_mirror_config_{name}", explanation, MetricKind.GAUGE)


_SUCCESS: Final = _gauge(
    "reload_success", "1 if the last reload of the configuration succeeded, or there was none; 0 if it was refused."
)
_LOADED: Final = _gauge(
    "loaded_timestamp_seconds", "Unix time in seconds when the settings in use were read from the configuration."
)
_WAITING: Final = _gauge(
    "restart_needed", "Settings that have changed in the configuration and wait for a restart of the server."
)
CONFIGURATION_GAUGES: Final = (_SUCCESS, _LOADED, _WAITING)


@dataclass(frozen=True, slots=True)
class ConfigurationState:
    """The state after a start or a reload.

    Attributes:
        settings: settings in use.
        file: configuration file; empty without a file.
        loaded_at: time at which the settings in use were read.
        reloads: number of reloads, refused ones included.
        reloaded_at: end of the last reload; None before the first one.
        refusal: reason why the last reload was refused; empty if it was not.
        waiting: keys whose change waits for a restart.
    """

    settings: Settings
    file: str
    loaded_at: datetime
    reloads: int = 0
    reloaded_at: datetime | None = None
    refusal: str = ""
    waiting: tuple[str, ...] = ()

    def accepted(self, settings: Settings, waiting: Sequence[str], at: datetime) -> ConfigurationState:
        """Return the state after a reload that succeeded."""
        return ConfigurationState(settings, self.file, at, self.reloads + 1, at, "", tuple(waiting))

    def refused(self, reason: str, at: datetime) -> ConfigurationState:
        """Return the state after a reload that was refused. The settings stay in use."""
        return replace(self, reloads=self.reloads + 1, reloaded_at=at, refusal=reason[:_MOST_CHARACTERS])

    def to_json(self) -> dict[str, object]:
        """Return the report ``/api/v1/config``, without secrets."""
        last = None
        if self.reloaded_at is not None:
            last = {"at": machine_time(self.reloaded_at), "succeeded": not self.refusal, "error": self.refusal or None}
        return {
            "file": self.file or None,
            "loaded_at": machine_time(self.loaded_at),
            "reloads": self.reloads,
            "last_reload": last,
            "waits_for_restart": list(self.waiting),
            "settings": self.settings.shown(),
        }

    def gauges(self) -> list[tuple[MetricFamily, list[tuple[Labels, list[float]]]]]:
        """Return the metrics of the configuration."""
        values = (float(not self.refusal), self.loaded_at.timestamp(), float(len(self.waiting)))
        return [(family, [((), [value])]) for family, value in zip(CONFIGURATION_GAUGES, values, strict=True)]


class ConfigurationHolder:
    """Holds the state of a process.

    Attributes:
        state: the state.
    """

    def __init__(self, state: ConfigurationState) -> None:
        self.state = state

    @classmethod
    def of(cls, settings: Settings, clock: Clock | None = None) -> ConfigurationHolder:
        """Return a holder for settings that nobody reloads."""
        return cls(ConfigurationState(settings, "", (clock or SystemClock()).now()))

    async def report(self) -> object:
        """Return the report ``/api/v1/config``."""
        return self.state.to_json()
