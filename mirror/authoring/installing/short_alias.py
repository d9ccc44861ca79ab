"""Short names for plugins, and the commands that use a plugin by its name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from mirror.oci import Repository
from mirror.plugin.config.built_in_drivers import BUILT_IN_DRIVERS

_GENERIC: Final = "authz|docker|driver|drivers|log|logging|managed|net|network|plugin|plugins|store|v2|v2plugin|volume"
#: Generic words at both ends of a path component. Components are at most 255 characters long.
_ENDS: Final = re.compile(rf"^(?:(?:{_GENERIC})(?:[._-]+|$))+|(?:(?:^|[._-]+)(?:{_GENERIC}))+$")
#: Capabilities of plugins that engines find without the tag ``latest``.
_TAG_LATEST_ADDED: Final = frozenset({"volumedriver", "logdriver", "authz"})
_CAPABILITY: Final = re.compile(r"docker\.([a-z]+)/.*", re.DOTALL)


def short_alias(repository: Repository) -> str:
    """Return a short alias for a plugin, such as ``loki`` for ``grafana/loki-docker-driver``.

    The alias is the last path component that has more than generic words, without generic words at its ends. If an
    engine has a driver of this name, or every component is generic, the alias is the last component. For
    ``contiv/v2plugin``, the alias is ``contiv``.
    """
    components = repository.name.split("/")
    for component in reversed(components):
        name = _ENDS.sub("", component)
        if name:
            return components[-1] if name in BUILT_IN_DRIVERS else name
    return components[-1]


def driver_name(types: Iterable[str], name: str) -> str:
    """Return the name by which commands find a plugin.

    Args:
        types: interface types of the plugin.
        name: ``NAME:TAG`` of the plugin on its host.
    """
    # Engines add the tag latest to a name. Measured: for networks, they do so too late ("could not resolve driver").
    return name.removesuffix(":latest") if _capabilities(types) <= _TAG_LATEST_ADDED else name


def driver_uses(types: Iterable[str], name: str) -> tuple[str, ...]:
    """Return a command for each use of a plugin, with words in upper case to be replaced.

    Args:
        types: interface types of the plugin.
        name: name as :func:`driver_name` returns it.
    """
    found = _capabilities(types)
    # A driver that is both is meant for the same network.
    ipam = f" --ipam-driver {name}" if "ipamdriver" in found else ""
    driver = f" -d {name}" if "networkdriver" in found else ""
    network = f"docker network create{driver}{ipam} NETWORK"
    uses = {
        "volumedriver": f"docker volume create -d {name} VOLUME",
        "networkdriver": network,
        "ipamdriver": network,
        "logdriver": f"docker run --log-driver {name} IMAGE",
        "authz": f"dockerd --authorization-plugin={name}",
        "csicontroller": f"docker volume create -d {name} --type mount VOLUME",
        "csinode": f"docker volume create -d {name} --type mount VOLUME",
        "secretprovider": f"docker secret create -d {name} SECRET",
        "graphdriver": f"dockerd --storage-driver={name}",
    }
    return tuple(dict.fromkeys(command for capability, command in uses.items() if capability in found))


def _capabilities(types: Iterable[str]) -> frozenset[str]:
    """Return the capabilities in interface types, such as ``volumedriver`` in ``docker.volumedriver/1.0``."""
    return frozenset(match[1] for one in types if (match := _CAPABILITY.fullmatch(one)))
