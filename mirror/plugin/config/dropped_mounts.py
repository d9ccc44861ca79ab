"""Mounts below ``/dev/``, which engines drop from the plugin when they enable it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mirror.plugin.config.plugin_config import PluginConfig

#: Destinations of the engine's own mounts, in its order (moby: oci/defaults.go).
_OF_THE_ENGINE: Final = (
    "/proc",
    "/dev",
    "/dev/pts",
    "/sys",
    "/sys/fs/cgroup",
    "/dev/mqueue",
    "/dev/shm",  # noqa: S108 - in the plugin
)
#: Most mounts that are looked at.
_MOST_MOUNTS: Final = 500


def dropped_mounts(config: PluginConfig) -> frozenset[int]:
    """Return the positions of the mounts that engines never make, whatever their source and type.

    Engines take mounts at ``/dev/...`` for replaced ones of their own and remove them. They skip the mount that follows
    a removed one, so that the second of two neighbours stays (moby: plugin/v2/plugin_linux.go, InitSpec).
    """
    destinations = [mount.destination for mount in config.mounts[:_MOST_MOUNTS]]
    replaced = {place for place in destinations if place.startswith("/dev/")}
    own = [*_OF_THE_ENGINE, *([config.propagated_mount] if config.propagated_mount else [])]
    places = [*((place, -1) for place in own), *((place, number) for number, place in enumerate(destinations))]
    dropped: set[int] = set()
    is_skipped = False
    for place, number in places:
        is_skipped = not is_skipped and place in replaced
        if is_skipped:
            dropped.add(number)
    return frozenset(dropped - {-1})


def with_made_mounts(config: PluginConfig) -> PluginConfig:
    """Return a config with only the mounts that engines make."""
    dropped = dropped_mounts(config)
    if not dropped:
        return config
    return replace(config, mounts=tuple(one for number, one in enumerate(config.mounts) if number not in dropped))
