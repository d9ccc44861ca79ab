"""Platform of a plugin: that of the program which serves its socket, not that of an init program or a shell."""

from __future__ import annotations

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.rootfs.platform import Platform
from mirror.plugin.rootfs.root_filesystem import Rootfs, chain
from mirror.plugin.startup.start_follower import follow_start
from mirror.plugin.startup.started_programs import Certainty


def platform_of(config: PluginConfig, rootfs: Rootfs) -> Platform | None:
    """Return the platform of a plugin; None if it is unknown.

    The last of the plugin's own programs that a wrapper or script surely starts decides, then the entrypoint, then the
    majority of all programs.
    """
    programs = follow_start(config, rootfs).programs
    own = [one for one in programs[1:] if not one.is_tool and one.certainty is not Certainty.POSSIBLE]
    for program in (*reversed(own), *programs[:1]):
        for _, one in () if program.found is None else chain(program.found, rootfs):
            elf = one.node.program.elf if one is not None and one.node.program is not None else None
            if elf is not None:
                return elf.platform
    most = rootfs.platforms().most_common(1)
    return most[0][0] if most else None
