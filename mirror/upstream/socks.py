"""SOCKS proxies, by the package aiohttp-socks, which is optional."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp

from mirror.oci.errors import ConfigurationFault

try:
    from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError
except ImportError:
    _ERRORS: tuple[type[Exception], ...] = ()
    _INSTALLED = False
else:
    _ERRORS = (ProxyConnectionError, ProxyError, ProxyTimeoutError)
    _INSTALLED = True


def require() -> None:
    """Make sure that there is support for SOCKS.

    Raises:
        ConfigurationFault: aiohttp-socks is not installed.
    """
    if not _INSTALLED:
        raise ConfigurationFault(
            "a SOCKS proxy needs the package aiohttp-socks: pip install 'docker-plugin-mirror[socks]'"
        )


def connector(url: str) -> aiohttp.TCPConnector:
    """A connector through a SOCKS proxy, which resolves the names.

    Args:
        url: ``socks5://[USER:PASSWORD@]HOST:PORT``, or ``socks5h``, ``socks4``, ``socks4a``.
    """
    scheme, _, rest = url.partition("://")
    return ProxyConnector.from_url(f"{scheme[:6]}://{rest}", rdns=True, limit=0)


@contextmanager
def translated() -> Iterator[None]:
    """Turn what aiohttp-socks raises, which is no error of aiohttp's, into one.

    Raises:
        aiohttp.ClientConnectionError: the proxy cannot be reached, or does not connect us.
    """
    try:
        yield
    except _ERRORS as error:
        raise aiohttp.ClientConnectionError(f"the SOCKS proxy does not connect us: {error}") from error
