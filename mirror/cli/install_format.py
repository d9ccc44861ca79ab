"""Formats of the install of a plugin. They are apart from the output, because help lists them."""

from __future__ import annotations

from enum import Enum


class InstallFormat(Enum):
    """Formats in which ``inspect`` prints the install of a plugin, and nothing else."""

    DOCKER = "docker"
    SWARM = "swarm"
    SCRIPT = "script"
