"""Checks of the settings that a plugin shall have on a host, and of the name that it has of itself. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from mirror.hosts.checks.host_check import HostCheck, Step, or_ok, problem, warning
from mirror.hosts.checks.wanted_plugin import WantedPlugin
from mirror.oci.printable_text import printable
from mirror.plugin.config.own_name import own_names
from mirror.plugin.config.plugin_config import PluginConfig


def setting_checks(wanted: WantedPlugin) -> Iterator[HostCheck]:
    """Yield the checks."""
    config = wanted.config
    if config is None:
        return
    found = (*_not_settings(wanted), *_without_value(config))
    if found or wanted.view.settings:
        yield from or_ok(found, "settings", "everything that must be set is set")
    yield from _own_names(config, wanted.name)


def _not_settings(wanted: WantedPlugin) -> Iterator[HostCheck]:
    for key in wanted.unknown_settings():
        yield problem(
            "settings",
            Step.ENABLE,
            f"{printable(key, 100)} is not a setting of the plugin: it is installed, but stays disabled",
            f"list the settings with 'plugin-mirror inspect {printable(wanted.source)}'",
        )


def _without_value(config: PluginConfig) -> Iterator[HostCheck]:
    """Yield a problem for each mount and device that has no value, also with the intended settings."""
    for mount in config.mounts:
        if mount.source is None:
            yield _null(f"mount {printable(mount.name or mount.destination, 100)}", "source")
    for device in config.devices:
        if device.path is None:
            yield _null(f"device {printable(device.name, 100)}", "path")
        elif not device.path:
            name = printable(device.name, 100)
            yield problem(
                "settings",
                Step.ENABLE,
                f"device {name} has no path until one is set",
                f"write {shlex.quote(f'{name}=PATH')} at the end of the install command (here: --set)",
            )


def _null(item: str, field: str) -> HostCheck:
    return problem(
        "settings",
        Step.ENABLE,
        f"{item} has no {field}, and engines set none where the config has null",
        f'build the plugin with "{field}": "" and "settable": ["{field}"]',
    )


def _own_names(config: PluginConfig, name: str) -> Iterator[HostCheck]:
    """Yield a check for each variable that seems to take the name of the plugin on its host."""
    shown = printable(name)
    for own in own_names(config):
        variable, value = printable(own.variable), printable(own.default or "")
        fixes = [f"--alias {shlex.quote(value)}"] if value else []
        if own.key is not None:
            fixes.insert(0, f"--set {shlex.quote(f'{printable(own.key)}={shown}')}")
        found = warning(
            "own-name",
            Step.FIND,
            f"{variable} is {value or 'empty'}, and the local name is {shown}: the driver may not find itself",
            " or ".join(fixes),
        )
        yield from or_ok([] if own.agrees(name) else [found], "own-name", f"{variable} is the local name {shown}")
