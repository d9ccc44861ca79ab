"""Names of the items in a config that settings change."""

from __future__ import annotations

from typing import Final

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.settable import Setting

#: End of a key that names the field.
_FIELDS: Final = {"env": ".value", "mount": ".source", "device": ".path", "args": ".value"}


def item_name(setting: Setting, config: PluginConfig) -> str:
    """Return the name of the variable, mount, device or arguments that a setting changes."""
    items = {"env": config.env, "mount": config.mounts, "device": config.devices, "args": (config.args,)}
    name = setting.key.removesuffix(_FIELDS[setting.kind])
    return name if name in {item.name for item in items[setting.kind]} else setting.key
