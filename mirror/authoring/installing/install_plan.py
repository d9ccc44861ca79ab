"""Decisions about the install of a plugin: references, the name on the host, and settings."""

from __future__ import annotations

from dataclasses import dataclass

from mirror.authoring.inspect import Inspection
from mirror.authoring.installing.short_alias import short_alias
from mirror.oci import Digest
from mirror.plugin.config.own_name import OwnName, as_local_name, local_name, own_names
from mirror.plugin.config.plugin_config import PluginConfig


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """Everything that commands, services and scripts need to install a plugin.

    Attributes:
        reference: reference to the plugin, as Docker hosts pull it.
        pinned: reference with the digest. None if ``reference`` has a digest already.
        name: name of the plugin on a host that installs it without an alias.
        alias: alias that the plugin must have, because the plugin must know its name. None if any name will do.
        short: short alias without a tag.
        names_to_set: variables that take the alias and have another default.
        open_keys: keys of settings without which the plugin cannot be enabled, and whose values only the host knows.
        config: configuration of the plugin. None if it cannot be read.
    """

    reference: str
    pinned: str | None
    name: str
    alias: str | None
    short: str
    names_to_set: tuple[OwnName, ...]
    open_keys: tuple[str, ...]
    config: PluginConfig | None

    @property
    def lasting_name(self) -> str:
        """``NAME:TAG`` that stays at an upgrade, unless the plugin must know a name with its tag."""
        # With a tag, an engine never takes the name for the beginning of a plugin's id.
        return self.alias or f"{self.short}:latest"

    @property
    def settings(self) -> tuple[str, ...]:
        """``KEY=VALUE`` for each setting whose value is known."""
        return tuple(f"{one.key}={self.alias}" for one in self.names_to_set)


def plan_install(found: Inspection, host: str) -> InstallPlan:
    """Return the plan for the install of a plugin.

    Args:
        found: the plugin.
        host: ``HOST[:PORT]`` of the registry, as the Docker hosts reach it.
    """
    config = None if found.plugin is None else found.plugin.config
    settings = () if found.plugin is None else found.plugin.settings
    repository, target = found.repository, found.target
    if isinstance(target, Digest):
        reference, pinned, tag = f"{host}/{repository}@{target}", None, "latest"
    else:
        reference, tag = f"{host}/{repository}:{target}", target.name
        pinned = f"{reference}@{found.manifest.digest}"
    own = () if config is None else own_names(config)
    # A name that no host can change decides the alias.
    fixed = (as_local_name(one.default) for one in own if one.key is None and one.default is not None)
    alias = next((name for name in fixed if name is not None), None) or local_name(repository.name, tag)
    return InstallPlan(
        reference=reference,
        pinned=pinned,
        name=local_name(f"{host}/{repository}", tag),
        alias=alias if any(one.key or one.default for one in own) else None,
        short=short_alias(repository),
        names_to_set=tuple(one for one in own if one.key and _is_plain(one.key) and not one.agrees(alias)),
        open_keys=tuple(one.key for one in settings if one.must_be_set and _is_plain(one.key)),
        config=config,
    )


def _is_plain(key: str) -> bool:
    """Return True if a key can be written on a line. Other keys are not written: they could hide a part of the line."""
    return key.isprintable()
