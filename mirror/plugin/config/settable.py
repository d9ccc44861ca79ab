"""Settings that a host may give a plugin at install (moby: plugin/v2/settable.go)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mirror.plugin.config.plugin_config import PluginConfig

# The one field of each kind for which an engine accepts a value. Engines ignore other fields in Settable.
_FIELDS = {"env": "value", "mount": "source", "device": "path", "args": "value"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One value that ``docker plugin install … KEY=VALUE`` and ``docker plugin set`` accept.

    Attributes:
        kind: ``env``, ``mount``, ``device`` or ``args``.
        key: text before the ``=``.
        default: value if none is set; None if there is no default.
        description: description in the plugin's config.
    """

    kind: str
    key: str
    default: str | None
    description: str

    @property
    def must_be_set(self) -> bool:
        """True if the plugin cannot be enabled without this setting. A variable without a value is just not passed."""
        return self.default is None and self.kind in {"mount", "device"}


def list_settings(config: PluginConfig) -> tuple[Setting, ...]:
    """List every setting, in the order env, mounts, devices, args."""
    return tuple(_settable(config))


def _settable(config: PluginConfig) -> Iterator[Setting]:
    """Yield every setting, in the order of the config."""
    for env in config.env:
        yield from _setting("env", env.name, env.value, env.description, env.settable)
    for mount in config.mounts:
        yield from _setting("mount", mount.name, mount.source, mount.description, mount.settable)
    for device in config.devices:
        yield from _setting("device", device.name, device.path, device.description, device.settable)
    args = config.args
    yield from _setting("args", args.name, " ".join(args.value), args.description, args.settable)


def _setting(kind: str, name: str, default: str | None, description: str, fields: Sequence[str]) -> Iterator[Setting]:
    """Yield the setting of one item, if engines accept a value for the item."""
    field = _FIELDS[kind]
    if name and field in fields:
        # Engines accept KEY=VALUE without the field only if the item has exactly one settable field.
        key = name if len(fields) == 1 else f"{name}.{field}"
        yield Setting(kind, key, default, description)
