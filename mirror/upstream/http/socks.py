"""SOCKS proxies, based on the optional package aiohttp-socks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import aiohttp

from mirror.oci.errors import ConfigurationFault
from mirror.upstream.http.response_guard import GuardedProtocol


def require() -> None:
    """Check that SOCKS is supported.

    Raises:
        ConfigurationFault: aiohttp-socks is not installed.
    """
    if find_spec("aiohttp_socks") is None:
        raise ConfigurationFault(
            "a SOCKS proxy needs the package aiohttp-socks; fix: pip install 'docker-plugin-mirror[socks]'"
        )


def connector(url: str) -> aiohttp.TCPConnector:
    """Return a connector that uses a SOCKS proxy, which also resolves the host names.

    Args:
        url: ``socks5://[USER:PASSWORD@]HOST:PORT``, or ``socks5h``, ``socks4``, ``socks4a``.
    """
    # Imported here, because the package is optional.
    from aiohttp_socks import ProxyConnector

    class GuardedConnector(ProxyConnector):
        """A connector that replaces the protocol of each new connection, because aiohttp-socks creates its own."""

        async def _wrap_create_connection(self, *args: Any, **kwargs: Any) -> tuple[asyncio.Transport, GuardedProtocol]:
            transport, made = await super()._wrap_create_connection(*args, **kwargs)
            protocol = GuardedProtocol(asyncio.get_running_loop())
            # The objects of the package must live as long as the connection.
            protocol.made_by = made
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            return transport, protocol

    scheme, _, rest = url.partition("://")
    # aiohttp-socks knows only ``socks4`` and ``socks5``. ``rdns`` gives both the meaning of ``socks4a`` and
    # ``socks5h``.
    return GuardedConnector.from_url(f"{scheme[:6]}://{rest}", rdns=True, limit=0)


@contextmanager
def translated() -> Iterator[None]:
    """Convert exceptions of aiohttp-socks, which are not aiohttp exceptions.

    Raises:
        aiohttp.ClientConnectionError: the proxy is unreachable or refuses the connection.
    """
    from aiohttp_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError

    try:
        yield
    except (ProxyConnectionError, ProxyError, ProxyTimeoutError) as error:
        raise aiohttp.ClientConnectionError(f"no connection through the SOCKS proxy: {error}") from error
