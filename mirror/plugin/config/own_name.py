"""The name of a plugin on its host, and the variables that tell a driver this name.

An engine does not tell a managed plugin its own name. A driver that needs the name reads it from a variable, such as
``plugin_name`` or ``CONTIV_NETMASTER_PLUGIN_NAME`` of contiv, and refers to itself by the value of this variable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mirror.oci import Reference
from mirror.oci.errors import MirrorError
from mirror.plugin.config.plugin_config import Env, PluginConfig
from mirror.plugin.config.settable import settings_by_item

#: Longest name of a variable that is looked at. No variable of a real plugin is as long.
_MOST_CHARACTERS: Final = 200
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SEPARATORS: Final = re.compile(r"[^a-z0-9]+")
_OWN_NAME: Final = re.compile(r"(?:^| )(?:plugin ?name|driver ?name)(?: |$)")

#: Words that stand before the name of a driver of one kind, and the capability of this kind.
_KINDS: Final = {
    "volume": "volumedriver",
    "network": "networkdriver",
    "net": "networkdriver",
    "ipam": "ipamdriver",
    "log": "logdriver",
    "logging": "logdriver",
    "logger": "logdriver",
    "authz": "authz",
    "authorization": "authz",
    "graph": "graphdriver",
    "metrics": "metricscollector",
    "secret": "secretprovider",
    "secrets": "secretprovider",
    "csi": "csi",
}
_FOREIGN: Final = """
    auth backend block cni database db default device dns jdbc kernel odbc os other parent remote sql storage target
    file path dir length format pattern prefix regex separator suffix template
"""
#: Words that make a variable name another driver, or a property of the name.
_OTHERS: Final = frozenset(_FOREIGN.split())


@dataclass(frozen=True, slots=True)
class OwnName:
    """A variable that seems to take the name of the plugin on its host.

    Attributes:
        variable: name of the variable.
        key: key of the setting; None if no host can set the variable.
        default: value if none is set; None if the variable is not passed on.
    """

    variable: str
    key: str | None
    default: str | None

    def agrees(self, name: str) -> bool:
        """Return True if the default is the local name of the plugin, as :func:`local_name` returns it."""
        # Engines find the driver of a network only by a name with its tag, even if the tag is latest.
        return self.default == name


def own_names(config: PluginConfig) -> tuple[OwnName, ...]:
    """Return the variables that seem to take the name of the plugin, in the order of the config.

    The name of such a variable has the words ``plugin name`` or ``driver name`` in any spelling. A word that names a
    kind of driver, as in ``LOG_DRIVER_NAME``, excludes plugins of other kinds.
    """
    settings = settings_by_item(config)
    found = []
    for env in config.env:
        if _takes_own_name(env, config):
            setting = settings.get(("env", env.name)) if env.settable else None
            found.append(OwnName(env.name, setting.key if setting else None, env.value))
    return tuple(found)


def local_name(repository: str, tag: str) -> str:
    """Return the name that engines give to a plugin of this repository and tag: without the parts of Docker Hub.

    Args:
        repository: name of the repository, with the host of the registry if the plugin is pulled with one.
        tag: the tag.
    """
    for host in ("docker.io/", "index.docker.io/"):
        repository = repository.removeprefix(host)
    # Engines drop this folder only if one name follows it.
    first, _, rest = repository.partition("/")
    return f"{rest if first == 'library' and rest and '/' not in rest else repository}:{tag}"


def as_local_name(text: str) -> str | None:
    """Return the local name of the plugin that engines find by this text, or None if the text is no plugin's name."""
    try:
        parsed = Reference.parse(text)
    except MirrorError:
        return None
    if parsed.tag is None:
        return None
    return local_name(f"{parsed.host}/{parsed.repository}" if parsed.host else parsed.repository.name, parsed.tag.name)


def _takes_own_name(env: Env, config: PluginConfig) -> bool:
    if len(env.name) > _MOST_CHARACTERS:
        return False
    words = _SEPARATORS.sub(" ", _CAMEL.sub(" ", env.name).lower()).strip()
    if _OWN_NAME.search(words) is None:
        return False
    given = set(words.split())
    kinds = {_KINDS[word] for word in given & _KINDS.keys()}
    is_of_kind = not kinds or any(kind in name for kind in kinds for name in config.interface.types)
    return is_of_kind and not given & _OTHERS
