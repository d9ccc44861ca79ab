"""Settings of a host: values in an engine's record that differ from the defaults of a config.

An engine changes the source of a mount and the path of a device in the record's config too, when they are set. Only the
config as it was published tells the defaults (moby: plugin/v2/plugin.go, Set).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mirror.plugin.build.engine_record import ValuesInUse
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.settable import list_settings, settings_by_item


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Settings of a host, compared with a config.

    Attributes:
        changes: values that differ from the defaults, as ``KEY=VALUE`` for ``docker plugin install``.
        left_over: names of values in use that cannot be set in the config, such as ``env A``. An upgrade keeps values
            of the old version.
        not_passed: names of variables that have a default in the config, but that this host does not pass.
    """

    changes: tuple[str, ...]
    left_over: tuple[str, ...]
    not_passed: tuple[str, ...]


def host_settings(values: ValuesInUse, config: PluginConfig) -> HostSettings:
    """Return the settings of a host.

    Args:
        values: values in the engine's record.
        config: config with the defaults.
    """
    settings = settings_by_item(config)
    used = dict(_used(values, config))
    defaults = dict(_defaults(config))
    changes: set[tuple[str, str]] = set()
    left_over = []
    for item, value in used.items():
        if value == defaults.get(item):
            continue
        if item in settings and (item[0] != "args" or tuple(value.split(" ")) == values.args):
            changes.add(item)
        else:
            left_over.append(" ".join(item).rstrip())
    return HostSettings(
        changes=tuple(f"{setting.key}={used[item]}" for item, setting in settings.items() if item in changes),
        left_over=tuple(left_over),
        not_passed=tuple(env.name for env in config.env if env.value is not None and env.name not in values.env),
    )


def is_published(record: PluginConfig, published: PluginConfig) -> bool:
    """Return True if a record's config is a published config, apart from values that were set on the host."""
    return _without_settings(record) == _without_settings(published)


def ambiguous_settings(config: PluginConfig) -> list[str]:
    """List the keys of settings whose default is lost if only an engine's record has the config."""
    return [setting.key for setting in list_settings(config) if setting.kind in {"mount", "device"}]


def _used(values: ValuesInUse, config: PluginConfig) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield kind, name and value of everything that the host uses."""
    yield from ((("env", name), value) for name, value in values.env.items())
    yield from ((("mount", name), source) for name, source in values.sources.items())
    yield from ((("device", name), path) for name, path in values.paths.items())
    if values.args != config.args.value:
        yield ("args", config.args.name), " ".join(values.args)


def _defaults(config: PluginConfig) -> Iterator[tuple[tuple[str, str], str | None]]:
    """Yield kind, name and value of everything that a config has. Arguments are compared as a list."""
    yield from ((("env", env.name), env.value) for env in config.env)
    yield from ((("mount", mount.name), mount.source) for mount in config.mounts)
    yield from ((("device", device.name or device.path or ""), device.path) for device in config.devices)


def _without_settings(config: PluginConfig) -> PluginConfig:
    """Return a config without the values that a host or an engine changes in its record."""
    return replace(
        config,
        # Engines up to 28 store another text for a type without a version. Engines before 18.06 drop the scheme.
        interface=replace(config.interface, types=(), protocol_scheme=""),
        # Engines before 17.05 drop both.
        ipc_host=False,
        pid_host=False,
        mounts=tuple(replace(mount, source=None) if mount.settable else mount for mount in config.mounts),
        devices=tuple(replace(device, path=None) if device.settable else device for device in config.devices),
        diff_ids=(),
        docker_version="",
    )
