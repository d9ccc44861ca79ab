"""Settings that a host may give a plugin at install (moby: plugin/v2/settable.go).

An engine splits ``KEY=VALUE`` at the first ``=``, and KEY at its last dot, unless the dot is its first character. The
part after the dot is the field, and the part before it is the name. The engine takes the first item with this name, in
the order env, mounts, devices, args, and refuses the setting if the item does not allow it. Without a field, the only
entry of the item's Settable is the field.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mirror.plugin.config.plugin_config import PluginConfig

#: The one field of each kind for which an engine accepts a value. Engines ignore other words in Settable.
SETTABLE_FIELDS: Final = {"env": "value", "mount": "source", "device": "path", "args": "value"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One value that ``docker plugin install … KEY=VALUE`` and ``docker plugin set`` accept.

    Attributes:
        kind: ``env``, ``mount``, ``device`` or ``args``.
        name: name of the item in the plugin's config.
        key: text before the ``=``.
        default: value if none is set; None if there is no default.
        description: description in the plugin's config.
    """

    kind: str
    name: str
    key: str
    default: str | None
    description: str

    @property
    def must_be_set(self) -> bool:
        """True if the plugin cannot be enabled without this setting.

        Only a device without a path prevents enabling. A variable without a value is just not passed. Engines enable a
        plugin with a mount of the empty source, and mount a folder of their own.
        """
        return self.kind == "device" and not self.default


@dataclass(frozen=True, slots=True)
class ConfigItem:
    """An env, mount, device or args of a config, as far as settings depend on it.

    Attributes:
        kind: ``env``, ``mount``, ``device`` or ``args``.
        name: name of the item.
        default: value in the config; None if there is none.
        description: description in the config.
        settable: entries of ``Settable``.
    """

    kind: str
    name: str
    default: str | None
    description: str
    settable: tuple[str, ...]

    @property
    def field(self) -> str:
        """The field for which engines accept a value."""
        return SETTABLE_FIELDS[self.kind]

    @property
    def has_no_place(self) -> bool:
        """True if the item is a mount or device whose value is null: engines cannot write a value there."""
        return self.default is None and self.kind in {"mount", "device"}


def list_settings(config: PluginConfig) -> tuple[Setting, ...]:
    """List every setting that engines accept, in the order env, mounts, devices, args."""
    return tuple(_setting(item) for item, why_not in settable_items(config) if why_not is None)


def settable_items(config: PluginConfig) -> Iterator[tuple[ConfigItem, str | None]]:
    """Yield every item with a ``Settable``, and the reason why no key sets the item.

    The reason is None if a key sets the item. The reason is empty if the item itself shows it: Settable lacks the
    field, or the item has no place for a value.
    """
    first_kinds: dict[str, str] = {}
    for item in _items(config):
        before = first_kinds.get(item.name)
        first_kinds.setdefault(item.name, item.kind)
        if not item.settable:
            continue
        if item.field not in item.settable or item.has_no_place:
            yield item, ""
        elif not item.name:
            yield item, "it has no name"
        elif "=" in item.name:
            yield item, "its name has a '=', and the key ends there"
        elif before is not None:
            yield item, f"an earlier {before} has the same name, and engines take the first"
        else:
            yield item, None


def _items(config: PluginConfig) -> Iterator[ConfigItem]:
    """Yield the items in the order in which engines look for a name."""
    for env in config.env:
        yield ConfigItem("env", env.name, env.value, env.description, env.settable)
    for mount in config.mounts:
        yield ConfigItem("mount", mount.name, mount.source, mount.description, mount.settable)
    for device in config.devices:
        yield ConfigItem("device", device.name, device.path, device.description, device.settable)
    args = config.args
    yield ConfigItem("args", args.name, " ".join(args.value), args.description, args.settable)


def _setting(item: ConfigItem) -> Setting:
    """Return the setting of an item. The key has the field where the engine would not find the item without it."""
    bare = len(item.settable) == 1 and item.name.rfind(".") <= 0
    return Setting(
        item.kind, item.name, item.name if bare else f"{item.name}.{item.field}", item.default, item.description
    )


def settings_by_item(config: PluginConfig) -> dict[tuple[str, str], Setting]:
    """Return every setting by the kind and the name of the variable, mount, device or arguments that it changes."""
    return {(setting.kind, setting.name): setting for setting in list_settings(config)}
