"""SOCKS proxies, by the package aiohttp-socks, which is optional."""

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
    """Make sure that there is support for SOCKS.

    Raises:
        ConfigurationFault: aiohttp-socks is not installed.
    """
    if find_spec("aiohttp_socks") is None:
        raise ConfigurationFault(
            "a SOCKS proxy needs the package aiohttp-socks: pip install 'docker-plugin-mirror[socks]'"
        )


def connector(url: str) -> aiohttp.TCPConnector:
    """A connector through a SOCKS proxy, which resolves the names.

    Args:
        url: ``socks5://[USER:PASSWORD@]HOST:PORT``, or ``socks5h``, ``socks4``, ``socks4a``.
    """
    from aiohttp_socks import ProxyConnector

    class GuardedConnector(ProxyConnector):
        """Its connections are made by the package, which knows no protocol but its own: they are handed over."""

        async def _wrap_create_connection(self, *args: Any, **kwargs: Any) -> tuple[asyncio.Transport, GuardedProtocol]:
            transport, made = await super()._wrap_create_connection(*args, **kwargs)
            protocol = GuardedProtocol(asyncio.get_running_loop())
            protocol.made_by = made
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            return transport, protocol

    scheme, _, rest = url.partition("://")
    return GuardedConnector.from_url(f"{scheme[:6]}://{rest}", rdns=True, limit=0)


@contextmanager
def translated() -> Iterator[None]:
    """Turn what aiohttp-socks raises, which is no error of aiohttp's, into one.

    Raises:
        aiohttp.ClientConnectionError: the proxy cannot be reached, or does not connect us.
    """
    from aiohttp_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError

    try:
        yield
    except (ProxyConnectionError, ProxyError, ProxyTimeoutError) as error:
        raise aiohttp.ClientConnectionError(f"the SOCKS proxy does not connect us: {error}") from error
