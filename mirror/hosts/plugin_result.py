"""Results of the execution of a plan. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mirror.hosts.engine_api import InstalledPlugin
from mirror.hosts.plugin_steps import PluginStep, PluginTarget
from mirror.hosts.plugin_values import effective_values
from mirror.oci.errors import MirrorError
from mirror.oci.printable_text import printable


class PluginOutcome(Enum):
    """Outcome for one plugin.

    Attributes:
        UNCHANGED: the plugin was in the wanted state already.
        DONE: the plugin is in the wanted state now.
        REFUSED: the plan or the engine refused the change before anything was changed.
        ROLLED_BACK: the change failed, and the plugin is in its former state again.
        STUCK: the change failed, and so did the way back.
        NOT_DONE: the execution ended before the change.
    """

    UNCHANGED = "unchanged"
    DONE = "done"
    REFUSED = "not changed"
    ROLLED_BACK = "rolled back"
    STUCK = "not rolled back"
    NOT_DONE = "not done"


@dataclass(frozen=True, slots=True)
class PluginResult:
    """Result for one plugin.

    Attributes:
        name: local name of the plugin.
        outcome: outcome.
        done: steps that the engine carried out, the way back not included.
        error: error that ended the change; None if there is none.
        rollback_error: error that ended the way back; None if there is none.
        left: state in which the plugin was left, if something was changed in vain.
        commands: commands that lead a plugin that was not rolled back to its former state.
    """

    name: str
    outcome: PluginOutcome
    done: tuple[PluginStep, ...] = ()
    error: MirrorError | None = None
    rollback_error: MirrorError | None = None
    left: str = ""
    commands: tuple[str, ...] = ()


def state_of(now: InstalledPlugin | None) -> str:
    """Return the state of a plugin in words."""
    if now is None:
        return "not installed"
    state = "enabled" if now.enabled else "disabled"
    return f"installed from {printable(now.reference or 'an unknown registry', 300)}, {state}"


def variables_left(now: InstalledPlugin | None, back: PluginTarget) -> str:
    """Return a text about variables that were set and cannot be unset again; empty if there are none."""
    if now is None:
        return ""
    keys = [printable(key, 80) for key in effective_values(now) if key not in back.values]
    return f"; {', '.join(keys)} stays set, because engines cannot unset a variable" if keys else ""
