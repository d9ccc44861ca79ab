"""Client of the API of a Docker Engine (1.25, with engine 1.13, and later)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote

from mirror.hosts.engine_address import EngineAddress
from mirror.hosts.engine_answers import (
    read_descriptor,
    read_info,
    read_plugins,
    read_privileges,
    read_version,
)
from mirror.hosts.engine_api import EngineInfo, EngineVersion, InstalledPlugin, PullProgress, RegistryLogin
from mirror.hosts.engine_connection import EngineCall, EngineConnection
from mirror.hosts.engine_errors import EngineProtocolError, EngineRefused
from mirror.oci import Digest
from mirror.oci.printable_text import printable
from mirror.plugin.config.privileges import Privilege

#: First version of the API with the plugin operations of this client.
FIRST_API: Final = (1, 25)
_FIRST_WITH_DISTRIBUTION: Final = (1, 30)
_API_VERSION: Final = re.compile(r"([0-9]{1,3})\.([0-9]{1,4})")


class EngineClient:
    """Client of one engine. Created by :meth:`open`.

    Implements :class:`mirror.hosts.engine_api.EngineReader` and :class:`mirror.hosts.engine_api.EngineChanger`. Every
    method raises :class:`mirror.hosts.engine_errors.EngineFault`.
    """

    def __init__(self, connection: EngineConnection) -> None:
        self._connection = connection
        self._version: EngineVersion | None = None
        self._api = FIRST_API

    @classmethod
    @asynccontextmanager
    async def open(cls, address: EngineAddress) -> AsyncIterator[EngineClient]:
        """Connect to an engine and agree on the version of the API.

        Raises:
            EngineUnreachable: nothing answers at the address.
            EngineAccessDenied: this user must not open the socket.
            EngineRefused: the engine is older than 1.13.
            EngineProtocolError: something else than an engine answers.
            ConfigurationFault: the certificates cannot be used.
        """
        async with EngineConnection.open(address) as connection:
            client = cls(connection)
            await client._negotiate()
            yield client

    async def version(self) -> EngineVersion:
        if self._version is None:
            self._version = read_version(
                await self._connection.answer(EngineCall("GET", "/version", "tell its version"))
            )
        return self._version

    async def info(self) -> EngineInfo:
        return read_info(await self._connection.answer(EngineCall("GET", "/info", "describe itself")))

    async def plugins(self) -> tuple[InstalledPlugin, ...]:
        return read_plugins(await self._connection.answer(EngineCall("GET", "/plugins", "list its plugins")))

    async def privileges(self, remote: str, login: RegistryLogin | None = None) -> tuple[Privilege, ...]:
        doing = f"ask for the privileges of {remote}"
        call = EngineCall("GET", "/plugins/privileges", doing, query={"remote": remote}, login=login)
        return read_privileges(await self._connection.answer(call))

    async def remote_digest(self, remote: str) -> Digest | None:
        if self._api < _FIRST_WITH_DISTRIBUTION:
            return None
        call = EngineCall("GET", f"/distribution/{quote(remote, safe='/:@')}/json", f"read {remote}")
        return read_descriptor(await self._connection.answer(call))

    async def pull(
        self,
        remote: str,
        name: str,
        privileges: Sequence[Privilege],
        *,
        login: RegistryLogin | None = None,
        progress: PullProgress | None = None,
    ) -> None:
        query, body = {"remote": remote, "name": name}, [one.to_engine_json() for one in privileges]
        await self._connection.stream(
            EngineCall("POST", "/plugins/pull", f"install {remote}", query, body, login), progress
        )

    async def upgrade(
        self,
        name: str,
        remote: str,
        privileges: Sequence[Privilege],
        *,
        login: RegistryLogin | None = None,
        progress: PullProgress | None = None,
    ) -> None:
        path, doing = f"{_path(name)}/upgrade", f"upgrade {name} to {remote}"
        query, body = {"remote": remote}, [one.to_engine_json() for one in privileges]
        await self._connection.stream(EngineCall("POST", path, doing, query, body, login), progress)

    async def change_settings(self, name: str, settings: Sequence[str]) -> None:
        doing = f"change the settings of {name}"
        await self._connection.answer(EngineCall("POST", f"{_path(name)}/set", doing, body=list(settings)))

    async def enable(self, name: str) -> None:
        # The engine's own timeout for calls to the plugin; 0 is its default, as for "docker plugin install".
        await self._connection.answer(
            EngineCall("POST", f"{_path(name)}/enable", f"enable {name}", query={"timeout": "0"})
        )

    async def disable(self, name: str, *, force: bool = False) -> None:
        await self._connection.answer(
            EngineCall("POST", f"{_path(name)}/disable", f"disable {name}", query=_force(force))
        )

    async def remove(self, name: str, *, force: bool = False) -> None:
        await self._connection.answer(EngineCall("DELETE", _path(name), f"remove {name}", query=_force(force)))

    async def _negotiate(self) -> None:
        """Use the newest version of the API that the engine has."""
        found = await self.version()
        match = _API_VERSION.fullmatch(found.api_version)
        if match is None:
            raise EngineProtocolError(
                f"{self._connection.address}: {printable(found.api_version, 40)!r} is not the version of an API; "
                "fix: check that a Docker Engine listens there"
            )
        self._api = (int(match[1]), int(match[2]))
        if self._api < FIRST_API:
            said = f"Docker Engine {printable(found.version, 40)} has no managed plugins"
            raise EngineRefused(
                f"{self._connection.address}: {said}; fix: upgrade to engine 1.13 or later", status=200, said=said
            )
        self._connection.api_prefix = f"/v{found.api_version}"


def _path(name: str) -> str:
    """Return the path of a plugin. Engines take a name with its slashes."""
    return f"/plugins/{quote(name, safe='/:@')}"


def _force(force: bool) -> dict[str, str]:  # noqa: FBT001 - the only argument
    return {"force": "1"} if force else {}
