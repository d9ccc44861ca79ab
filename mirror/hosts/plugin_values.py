"""Effective settings of installed plugins, and the comparison of their content with a release. Pure.

Engines use three places for settings (measured: 20.10.24, 26.1.5). A variable and the arguments are read from the
settings, and the source of a mount from the config. The path of a device is read from the settings. After an upgrade
or a restart of the engine, ``docker plugin set`` changes the path in the config only, and has no effect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from mirror.hosts.engine_api import InstalledPlugin
from mirror.oci.errors import ConfigurationFault
from mirror.oci.printable_text import printable
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.secret_values import masked, masked_words
from mirror.plugin.config.settable import SETTABLE_FIELDS, Setting, list_settings

#: Interface types that all engines keep as they are. Others come back mangled from engines up to 28.
_TYPE: Final = re.compile(r"\w+\.\w+/[\w.]+")
_MOST_KEYS_NAMED: Final = 20


def same_content(installed: PluginConfig, released: PluginConfig) -> bool:
    """Return True if an installed plugin has the config and the layers of a release.

    The digests of the layers are part of a config. Values that a host may set are not compared.
    """
    return _comparable(installed) == _comparable(released)


def resolve_settings(config: PluginConfig, given: Mapping[str, str], place: str) -> dict[str, str]:
    """Return the value of each setting of a plugin by its key: the given value, else the default.

    Settings without either are left out.

    Args:
        config: config of the plugin.
        given: values by key, with or without the field: ``data`` and ``data.source`` are the same key.
        place: file and line of the values, for messages.

    Raises:
        ConfigurationFault: the plugin has no such setting, or one is given twice.
    """
    settings = list_settings(config)
    found: dict[str, str] = {}
    for key, value in given.items():
        setting = _setting_of(settings, key)
        if setting is None:
            known = ", ".join(printable(one.key, 80) for one in settings[:_MOST_KEYS_NAMED]) or "none"
            raise ConfigurationFault(
                f"{place}: settings.{printable(key, 80)}: the plugin has no such setting; its settings are: {known}"
            )
        if setting.key in found:
            raise ConfigurationFault(f"{place}: settings.{printable(key, 80)}: the setting is given twice")
        found[setting.key] = value
    return default_values(config) | found


def default_values(config: PluginConfig) -> dict[str, str]:
    """Return the default of each setting by its key. Settings without a default are left out."""
    return {one.key: one.default for one in list_settings(config) if one.default is not None}


def effective_values(plugin: InstalledPlugin) -> dict[str, str]:
    """Return the value of each setting of an installed plugin by its key. Settings without a value are left out."""
    values = {one.key: _value(plugin, one) for one in list_settings(plugin.config)}
    return {key: value for key, value in values.items() if value is not None}


def kept_by_upgrade(plugin: InstalledPlugin, released: PluginConfig) -> Iterator[str]:
    """Yield a sentence for each part of the old version that stays at an upgrade, and that no setting changes.

    Args:
        plugin: the old version.
        released: config of the new version.
    """
    settable = {(one.kind, one.name) for one in list_settings(released)}
    have = _env_values(plugin.settings.env)
    for env in released.env:
        if ("env", env.name) not in settable and env.value is not None and have.get(env.name) != env.value:
            yield f"variable {env.name}={masked(env.name, env.value)} of the new version does not apply"
    for name in sorted(have.keys() - {env.name for env in released.env}):
        yield f"variable {name} of the old version is still passed"
    if ("args", released.args.name) not in settable and released.args.value != plugin.settings.args:
        yield f"arguments {' '.join(masked_words(released.args.value))!r} of the new version do not apply"
    old, new = ([(one.name, one.path) for one in devices] for devices in (plugin.settings.devices, released.devices))
    for name, path in new:
        if (name, path) not in old and ("device", name) not in settable:
            yield f"device {path} of the new version is not added"
    for name, path in old:
        if (name, path) not in new and (not name or name not in dict(new)):
            yield f"device {path} of the old version is still there"


def _setting_of(settings: Sequence[Setting], key: str) -> Setting | None:
    """Return the setting that a user means by a key: as listed, or the name with or without the field."""
    spelt = (one for one in settings if key in {one.name, f"{one.name}.{SETTABLE_FIELDS[one.kind]}"})
    return next((one for one in settings if one.key == key), None) or next(spelt, None)


def _comparable(config: PluginConfig) -> PluginConfig:
    interface = config.interface
    return replace(
        config,
        mounts=tuple(replace(one, source=None) if "source" in one.settable else one for one in config.mounts),
        devices=tuple(replace(one, path=None) if "path" in one.settable else one for one in config.devices),
        interface=replace(interface, types=tuple(one for one in interface.types if _TYPE.fullmatch(one))),
        capabilities=tuple(sorted(config.capabilities)),  # engines sort them while they compare privileges
        docker_version="",  # engines since 29 drop it
    )


def _value(plugin: InstalledPlugin, setting: Setting) -> str | None:
    config, settings = plugin.config, plugin.settings
    if setting.kind == "args":
        return " ".join(settings.args)
    if setting.kind == "env":
        return _env_values(settings.env).get(setting.name)
    if setting.kind == "mount":
        return next((mount.source for mount in config.mounts if mount.name == setting.name), None)
    return next((device.path for device in settings.devices if device.name == setting.name), None)


def _env_values(env: tuple[str, ...]) -> dict[str, str]:
    pairs = (text.partition("=") for text in env)
    return {name: value for name, _, value in pairs}
