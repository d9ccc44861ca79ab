"""Checks of the variables that take the plugin's own name. Pure decisions."""

from __future__ import annotations

from collections.abc import Iterator

from mirror.oci.printable_text import printable_ascii
from mirror.plugin.config.own_name import OwnName, as_local_name, own_names
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.findings import name_findings as table
from mirror.plugin.findings.finding import Finding


def check_own_name(config: PluginConfig, name: str | None) -> Iterator[Finding]:
    """Yield a finding for each variable that takes the plugin's own name.

    Args:
        config: configuration of the plugin.
        name: local name of the plugin, as :func:`mirror.plugin.config.own_name.local_name` returns it. None if the
            plugin has no name yet: then it is the name in the value.
    """
    for found in own_names(config):
        value = _shown(found)
        # A value without a tag is the name of no plugin. A template is reported by another check.
        wanted = as_local_name(found.default or "") if name is None else name
        if wanted is None:
            continue
        if _agrees(found, wanted):
            yield table.OWN_NAME_NEEDED(variable=found.variable, value=value)
        elif found.key is not None:
            yield table.OWN_NAME(variable=found.variable, value=value, name=wanted, key=found.key)
        elif found.default is not None:
            yield table.OWN_NAME_FIXED(variable=found.variable, value=value, name=wanted)


def naming_note(config: PluginConfig, name: str, *, created: bool = False) -> str | None:
    """Return a sentence for users who give the plugin a name that its own variable does not have. None if none is due.

    Args:
        config: configuration of the plugin.
        name: local name of the plugin.
        created: True if the plugin will be created under this name, False if it will be installed from a registry.
    """
    found = next((one for one in own_names(config) if not _agrees(one, name) and (one.key or one.default)), None)
    if found is None:
        return None
    variable = printable_ascii(found.variable)
    if found.key is None:
        remedy = f"make a copy with 'plugin-mirror derive' and --env {variable}={name}"
    elif created:
        remedy = f"run 'docker plugin set {name} {printable_ascii(found.key)}={name}' before it is enabled"
    else:
        remedy = f"install it with --alias {name} and {printable_ascii(found.key)}={name}"
    return f"{variable} is {_shown(found)}, so the driver does not know its name {name}; fix: {remedy}"


def _shown(found: OwnName) -> str:
    return "unset" if found.default is None else printable_ascii(found.default) or "empty"


def _agrees(found: OwnName, name: str) -> bool:
    """Return True if a default is the local name, with or without the host of a registry."""
    host, _, rest = (found.default or "").partition("/")
    is_host = "." in host or ":" in host or host == "localhost"
    return found.agrees(name) or (is_host and rest == name)
