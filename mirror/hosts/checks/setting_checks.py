"""Checks of the settings that a plugin shall have on a host. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from mirror.hosts.checks.host_check import HostCheck, Step, or_ok, problem, warning
from mirror.hosts.checks.wanted_plugin import WantedPlugin, keys_of
from mirror.oci.printable_text import printable
from mirror.plugin.config.settable import Setting


def setting_checks(wanted: WantedPlugin) -> Iterator[HostCheck]:
    """Yield the checks of the settings, and of the name that the plugin has of itself."""
    if wanted.view.settings or wanted.settings:
        yield from or_ok(_settings(wanted), "settings", "all settings that must be set are set")
    yield from _own_names(wanted)


def _settings(wanted: WantedPlugin) -> Iterator[HostCheck]:
    for key in wanted.unknown_settings():
        yield problem(
            "settings",
            Step.ENABLE,
            f"{printable(key, 100)} is not a setting of the plugin: it is installed, but stays disabled",
            f"plugin-mirror inspect {printable(wanted.remote)} lists the settings",
        )
    for setting in wanted.view.settings:
        # An empty path of a device is no path: 'adding custom device ""'.
        must = setting.must_be_set or (setting.kind == "device" and setting.default == "")
        if must and not _value(wanted, setting):
            key = printable(setting.key, 100)
            yield problem(
                "settings",
                Step.ENABLE,
                f"{setting.kind} {key} must be set before the plugin is enabled",
                f"write {shlex.quote(f'{key}=VALUE')} at the end of the install command (here: --set)",
            )


def _own_names(wanted: WantedPlugin) -> Iterator[HostCheck]:
    """Yield a check for each setting that takes the name of the plugin on its host."""
    for setting in wanted.view.settings:
        if setting.key not in wanted.own_name_keys:
            continue
        value = _value(wanted, setting)
        key, name = printable(setting.key), printable(wanted.name)
        found = warning(
            "own-name",
            Step.FIND,
            f"{key} is {printable(value)!r}, and the local name will be {name}: the plugin may not find itself",
            f"--set {shlex.quote(f'{key}={name}')}, or --alias {shlex.quote(printable(value))}",
        )
        yield from or_ok([] if value == wanted.name else [found], "own-name", f"{key} is the local name {name}")


def _value(wanted: WantedPlugin, setting: Setting) -> str:
    """Return the intended value of a setting."""
    given = (wanted.settings[key] for key in keys_of(setting.kind, setting.key) if key in wanted.settings)
    return next(given, setting.default or "")
