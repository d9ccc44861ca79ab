"""Plugins that a host should have, as its file describes them, and releases of plugins at registries. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mirror.oci import Digest, Reference
from mirror.plugin.config.own_name import local_name
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.privileges import Privilege, compute_privileges


@dataclass(frozen=True, slots=True)
class DesiredPlugin:
    """A plugin that a host should have, or should not have.

    Attributes:
        place: file and line of the entry, for messages.
        reference: reference of the plugin, with the registry as the engine reaches it.
        name: local name with its tag.
        settings: values by key, as in ``docker plugin set KEY=VALUE``. Settings that are left out have their default.
        enabled: True if the plugin should run.
        present: False if the host should not have the plugin.
        replace: True to remove the old version at an upgrade, so that nothing of its settings stays.
    """

    place: str
    reference: Reference
    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    enabled: bool = True
    present: bool = True
    replace: bool = False


@dataclass(frozen=True, slots=True)
class PluginRelease:
    """A version of a plugin at a registry.

    Attributes:
        remote: reference with which an engine pulls the version.
        digest: digest of the manifest.
        config: configuration with the defaults of the settings.
    """

    remote: str
    digest: Digest
    config: PluginConfig

    @property
    def privileges(self) -> tuple[Privilege, ...]:
        """Privileges that an engine asks for."""
        return compute_privileges(self.config)


def name_on_host(reference: Reference) -> str:
    """Return the name that an engine gives to a plugin of this reference or alias: with a tag, without a digest."""
    repository = f"{reference.host}/{reference.repository}" if reference.host else reference.repository.name
    return local_name(repository, "latest" if reference.tag is None else reference.tag.name)


def engine_reference(reference: Reference) -> str:
    """Return the reference that an engine is given.

    If there is a tag, the digest is left out: many engines crash at an install by digest. The content that the engine
    installed is compared afterwards.
    """
    host = f"{reference.host}/" if reference.host else ""
    joined = f"@{reference.digest}" if reference.tag is None else f":{reference.tag}"
    return f"{host}{reference.repository}{joined}"
