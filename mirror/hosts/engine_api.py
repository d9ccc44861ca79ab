"""Plugins and properties of a Docker Engine, as values, and the protocols of its API."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from mirror.oci import Digest
from mirror.plugin.config.plugin_config import Device, Mount, PluginConfig
from mirror.plugin.config.privileges import Privilege


@dataclass(frozen=True, slots=True)
class EngineVersion:
    """Version of an engine.

    Attributes:
        version: version as the engine reports it, such as ``20.10.24+dfsg1``.
        api_version: newest version of the API that the engine has.
        os: operating system, as Go names it.
        architecture: architecture, as Go names it.
        kernel: release of the kernel.
    """

    version: str
    api_version: str
    os: str
    architecture: str
    kernel: str


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Properties of an engine and its host. Text that the engine does not tell is empty.

    Attributes:
        name: name of the host.
        data_root: folder with the data of the engine, on its host.
        security_options: options such as ``name=userns`` and ``name=rootless``.
        insecure_networks: networks (CIDR) whose registries may use plain HTTP.
        insecure_hosts: registries that may use plain HTTP, as ``HOST[:PORT]``.
        default_runtime: name of the default runtime.
        runtime_answers: False if the engine could not ask the default runtime for its version.
        engine_id: id that the engine made up for itself.
    """

    name: str
    data_root: str
    security_options: tuple[str, ...]
    insecure_networks: tuple[str, ...]
    insecure_hosts: tuple[str, ...]
    default_runtime: str
    runtime_answers: bool = True
    engine_id: str = ""

    def has_security_option(self, name: str) -> bool:
        """Return True if an option such as ``userns`` or ``rootless`` is on."""
        # An option is a list such as "name=seccomp,profile=default".
        return any(f"name={name}" in option.split(",") for option in self.security_options)


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """Effective settings of an installed plugin.

    Attributes:
        env: variables as ``NAME=VALUE``.
        mounts: mounts in the order of the config.
        devices: devices in the order of the config.
        args: arguments after the entrypoint.
    """

    env: tuple[str, ...]
    mounts: tuple[Mount, ...]
    devices: tuple[Device, ...]
    args: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """A plugin that an engine has. The API of engines does not tell the digest of its manifest.

    Attributes:
        plugin_id: 64 hexadecimal digits that the engine made up.
        name: local name with its tag: the alias, or the name in the reference.
        enabled: True if the plugin runs.
        reference: name from which the plugin was installed, with host and tag; empty if the engine does not know one.
        config: configuration. Engines write the values of settings into it, see ``settings``.
        settings: effective settings.
    """

    plugin_id: str
    name: str
    enabled: bool
    reference: str
    config: PluginConfig
    settings: PluginSettings


@dataclass(frozen=True, slots=True)
class PullStep:
    """A progress message of an engine that pulls a plugin.

    Attributes:
        layer: short name of the content; empty for messages about the whole plugin.
        status: the engine's word, such as ``Downloading``.
        done_bytes: bytes done; None if the message has no number.
        total_bytes: size of the content; None if unknown.
    """

    layer: str
    status: str
    done_bytes: int | None = None
    total_bytes: int | None = None


PullProgress: TypeAlias = Callable[[PullStep], None]


@dataclass(frozen=True, slots=True)
class RegistryLogin:
    """Login that an engine uses at a registry, for one pull."""

    host: str
    username: str
    password: str = field(repr=False)

    @property
    def header(self) -> str:
        """Value of the header ``X-Registry-Auth``."""
        login = {"username": self.username, "password": self.password, "serveraddress": self.host}
        return base64.urlsafe_b64encode(json.dumps(login).encode()).decode()


class EngineReader(Protocol):
    """Questions to an engine. All methods raise :class:`mirror.hosts.engine_errors.EngineFault`."""

    async def version(self) -> EngineVersion:
        """Return the version of the engine."""
        ...

    async def info(self) -> EngineInfo:
        """Return properties of the engine and its host."""
        ...

    async def plugins(self) -> tuple[InstalledPlugin, ...]:
        """Return all installed plugins, enabled or not, by name."""
        ...

    async def privileges(self, remote: str, login: RegistryLogin | None = None) -> tuple[Privilege, ...]:
        """Return the privileges of a plugin at a registry. The engine asks the registry.

        Engines (measured: 20.10.24, 26.1.5) return an empty list if the registry fails or has no such plugin. Only the
        pull tells the error.

        Args:
            remote: reference of the plugin, with the registry as the engine reaches it.
            login: login at the registry; None to ask anonymously.
        """
        ...

    async def remote_digest(self, remote: str) -> Digest | None:
        """Return the digest of content at a registry. The engine asks the registry, anonymously.

        Engines before 17.06 cannot be asked. The result for them is None.

        Args:
            remote: see :meth:`privileges`.

        Raises:
            EngineRefused: the engine cannot read the content. Its message tells why.
        """
        ...


class EngineChanger(Protocol):
    """Changes to the plugins of an engine. All methods raise :class:`mirror.hosts.engine_errors.EngineFault`.

    A cancelled call closes its connection. Engines stop a pull then, and finish other changes.
    """

    async def pull(
        self,
        remote: str,
        name: str,
        privileges: Sequence[Privilege],
        *,
        login: RegistryLogin | None = None,
        progress: PullProgress | None = None,
    ) -> None:
        """Install a plugin, without enabling it.

        Args:
            remote: reference of the plugin, with the registry as the engine reaches it.
            name: local name, with its tag.
            privileges: all privileges of the plugin; the engine refuses a list that differs.
            login: login at the registry; None to pull anonymously.
            progress: receives the progress messages.
        """
        ...

    async def upgrade(
        self,
        name: str,
        remote: str,
        privileges: Sequence[Privilege],
        *,
        login: RegistryLogin | None = None,
        progress: PullProgress | None = None,
    ) -> None:
        """Replace the content of a disabled plugin. Its settings stay. See :meth:`pull` for the arguments."""
        ...

    async def change_settings(self, name: str, settings: Sequence[str]) -> None:
        """Change settings of a disabled plugin, each written as ``KEY=VALUE``."""
        ...

    async def enable(self, name: str) -> None:
        """Start a plugin, and wait until its socket answers."""
        ...

    async def disable(self, name: str, *, force: bool = False) -> None:
        """Stop a plugin. ``force`` stops a plugin that is in use."""
        ...

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a plugin. ``force`` removes an enabled plugin."""
        ...
