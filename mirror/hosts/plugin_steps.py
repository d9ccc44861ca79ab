"""Steps that lead an installed plugin to another state. Pure.

A plan and its way back use the same function: both ask for the steps from the state that the engine reports to a state
that is wanted. The executor asks again after each step, so it never relies on what a step should have done.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from mirror.hosts.desired_plugin import PluginRelease
from mirror.hosts.engine_api import InstalledPlugin
from mirror.hosts.plugin_values import default_values, effective_values, same_content
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.secret_values import masked


class StepKind(Enum):
    """Kind of a change that an engine makes to a plugin."""

    INSTALL = "install"
    UPGRADE = "upgrade"
    DISABLE = "disable"
    SET = "set"
    ENABLE = "enable"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class PluginStep:
    """A change that an engine makes to a plugin.

    Attributes:
        kind: kind of the change.
        settings: values to set, by key; empty for other kinds.
    """

    kind: StepKind
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown_settings(self) -> dict[str, str]:
        """Values to set, with secrets hidden."""
        return {key: masked(key, value) for key, value in self.settings.items()}


@dataclass(frozen=True, slots=True)
class PluginTarget:
    """State of a plugin on a host that is wanted.

    Attributes:
        name: local name with its tag.
        config: config of the wanted version; None if the host should not have the plugin.
        release: the wanted version at a registry; None if no registry has it.
        values: values of settings by key. Other settings stay as they are.
        enabled: True if the plugin should run.
        replace: True to remove another version before the wanted one is installed.
    """

    name: str
    config: PluginConfig | None
    release: PluginRelease | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    enabled: bool = False
    replace: bool = False

    @classmethod
    def of_installed(
        cls, name: str, plugin: InstalledPlugin | None, release: PluginRelease | None, *, replace: bool = False
    ) -> PluginTarget:
        """Return the present state of a plugin as a target, to lead the plugin back to.

        Args:
            name: local name with its tag.
            plugin: the plugin; None if the host does not have it.
            release: the installed version at a registry; None if no registry has it.
            replace: True to remove another version first.
        """
        if plugin is None:
            return cls(name, None)
        return cls(name, plugin.config, release, effective_values(plugin), plugin.enabled, replace)


def steps_between(now: InstalledPlugin | None, target: PluginTarget) -> tuple[PluginStep, ...]:
    """Return the steps from the state of a plugin to a target, in order. Empty if the plugin is in this state.

    Args:
        now: the plugin as the engine reports it; None if the engine does not have it.
        target: the wanted state.
    """
    stop = [] if now is None or not now.enabled else [PluginStep(StepKind.DISABLE)]
    if target.config is None:
        return () if now is None else (*stop, PluginStep(StepKind.REMOVE))
    steps: list[PluginStep] = []
    if now is None:
        steps, values = [PluginStep(StepKind.INSTALL)], default_values(target.config)
    elif same_content(now.config, target.config):
        values = effective_values(now)
    elif target.replace:
        steps = [*stop, PluginStep(StepKind.REMOVE), PluginStep(StepKind.INSTALL)]
        values = default_values(target.config)
    else:
        steps = [*stop, PluginStep(StepKind.UPGRADE)]
        values = effective_values(_after_upgrade(now, target.config))
    changes = {key: value for key, value in target.values.items() if values.get(key) != value}
    if changes:
        steps = [*(steps or stop), PluginStep(StepKind.SET, changes)]
    runs = now is not None and now.enabled and not steps
    if target.enabled and not runs:
        steps.append(PluginStep(StepKind.ENABLE))
    elif runs and not target.enabled:
        steps += stop
    return tuple(steps)


def command_of(step: PluginStep, target: PluginTarget) -> str:
    """Return the ``docker`` command for a step, so that a person can carry it out. Secrets are hidden."""
    remote = "REFERENCE" if target.release is None else target.release.remote
    match step.kind:
        case StepKind.INSTALL:
            words = ["install", "--disable", "--alias", target.name, remote]
        case StepKind.UPGRADE:
            words = ["upgrade", "--skip-remote-check", target.name, remote]
        case StepKind.SET:
            words = ["set", target.name, *(f"{key}={value}" for key, value in step.shown_settings.items())]
        case StepKind.REMOVE:
            words = ["rm", target.name]
        case kind:
            words = [kind.value, target.name]
    return shlex.join(["docker", "plugin", *words])


def _after_upgrade(now: InstalledPlugin, config: PluginConfig) -> InstalledPlugin:
    """Return a plugin with the config of another version. Engines keep all settings at an upgrade."""
    return replace(now, config=config, enabled=False)
