"""Checks of a plugin's interface: types, protocol and socket. Pure decisions."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Final

from mirror.plugin.config.interface_type import THE_VERSION, InterfaceType
from mirror.plugin.config.plugin_config import Interface
from mirror.plugin.findings import config_findings as table
from mirror.plugin.findings.finding import Finding
from mirror.plugin.lint.engine_support import RELEASES

#: Longest name of a socket in bytes. A socket path has at most 107 bytes; /run/docker/plugins/ID/ takes 85 of them.
MOST_SOCKET_BYTES: Final = 22

_SOCKETS: Final = "/run/docker/plugins"
_SOME_FOLDER: Final = f"{_SOCKETS}/{64 * '0'}"
_HTTP_SCHEMES: Final = frozenset({"", "moby.plugins.http/v1"})
#: Characters that change the socket's path when the engine reads it as a part of a URL.
_URL_CHARACTERS: Final = re.compile(r"[%?#\x00-\x1f\x7f]")


def check_interface(interface: Interface) -> Iterator[Finding]:
    """Yield findings about the interface, in the order protocol, socket, types."""
    types = {name: InterfaceType.parse(name) for name in interface.types}
    if interface.protocol_scheme not in _HTTP_SCHEMES:
        yield from _check_scheme(interface.protocol_scheme, types)
    elif _URL_CHARACTERS.search(interface.socket):
        yield table.SOCKET_NAME(socket=interface.socket)
    yield from _check_socket(interface.socket)
    if not interface.types:
        yield table.TYPES_MISSING()
    for name, parsed in types.items():
        if parsed is None:
            yield table.TYPE_MANGLED(name=name)
        elif parsed.capability is None:
            yield table.TYPE_UNKNOWN(name=name)
        elif parsed.capability.needs_version and parsed.version != THE_VERSION:
            yield table.TYPE_VERSION(name=name, wanted=f"docker.{parsed.name}/{THE_VERSION}")
    yield from _check_releases(types)


def _check_scheme(scheme: str, types: dict[str, InterfaceType | None]) -> Iterator[Finding]:
    """Yield the finding about a protocol that no engine speaks. Plugins that speak gRPC do not need one."""
    used = {name: parsed.capability for name, parsed in types.items() if parsed is not None}
    over_http = [name for name, capability in used.items() if capability is not None and capability.speaks_http]
    if over_http:
        yield table.PROTOCOL_SCHEME_CRASHES(scheme=scheme, names=over_http)
    elif not all(used.get(name) for name in types):
        yield table.PROTOCOL_SCHEME(scheme=scheme)


def _check_socket(socket: str) -> Iterator[Finding]:
    """Yield findings about the socket. The engine cleans the path, and dials it whatever the protocol is."""
    path = posixpath.normpath(f"{_SOME_FOLDER}/{socket}")
    if path == _SOME_FOLDER:
        yield table.SOCKET_EMPTY()
    elif not path.startswith(f"{_SOME_FOLDER}/"):
        yield table.SOCKET_OUTSIDE(socket=socket)
    elif len(path.encode()) > len(_SOME_FOLDER) + 1 + MOST_SOCKET_BYTES:
        yield table.SOCKET_LONG(socket=socket, most_bytes=MOST_SOCKET_BYTES)


def _check_releases(types: dict[str, InterfaceType | None]) -> Iterator[Finding]:
    """Yield findings about releases that use none of the types, although others do."""
    used = {name: parsed.capability for name, parsed in types.items() if parsed is not None}
    capabilities = [capability for capability in used.values() if capability is not None]
    names = [name for name, capability in used.items() if capability is not None]
    match min((capability.since for capability in capabilities), key=RELEASES.index, default=None):
        case "17.05":
            yield table.TYPE_SINCE_17_05(names=names)
        case "17.06":
            yield table.TYPE_SINCE_17_06(names=names)
        case "17.07":
            yield table.TYPE_SINCE_17_07(names=names)
        case "23":
            yield table.TYPE_SINCE_23(names=names)
    if capabilities and all(capability.removed for capability in capabilities):
        yield table.TYPE_REMOVED(names=names)
