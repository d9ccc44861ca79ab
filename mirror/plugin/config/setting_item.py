"""The items of a config that settings change."""

from __future__ import annotations

from typing import Final

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.settable import Setting, list_settings

#: End of a key that names the field.
_FIELDS: Final = {"env": ".value", "mount": ".source", "device": ".path", "args": ".value"}


def settings_by_item(config: PluginConfig) -> dict[tuple[str, str], Setting]:
    """Return every setting by the kind and the name of the variable, mount, device or arguments that it changes."""
    names = {
        "env": {env.name for env in config.env},
        "mount": {mount.name for mount in config.mounts},
        "device": {device.name for device in config.devices},
        "args": {config.args.name},
    }
    found: dict[tuple[str, str], Setting] = {}
    for setting in list_settings(config):
        name = setting.key.removesuffix(_FIELDS[setting.kind])
        # Of several items with one name, an engine changes the first.
        found.setdefault((setting.kind, name if name in names[setting.kind] else setting.key), setting)
    return found
