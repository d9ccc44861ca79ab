"""SOCKS proxies, by the package aiohttp-socks, which is optional."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import aiohttp

from mirror.oci.errors import ConfigurationFault


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

    scheme, _, rest = url.partition("://")
    return ProxyConnector.from_url(f"{scheme[:6]}://{rest}", rdns=True, limit=0)


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
