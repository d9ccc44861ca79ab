"""Options that the commands of the group ``host`` share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mirror.hosts.engine_address import EngineAddress

SocketOption = Annotated[
    str | None,
    typer.Option(
        "--socket",
        metavar="PATH|URL",
        help="Socket of the engine, unix:///PATH or tcp://HOST:PORT. Default: DOCKER_HOST, or /var/run/docker.sock.",
    ),
]


def address_of(socket: str | None) -> EngineAddress:
    """Return the address of the engine from ``--socket`` and the environment.

    Raises:
        ConfigurationFault: the address is invalid.
    """
    from mirror.hosts.engine_address import EngineAddress  # late, for a quick --help

    return EngineAddress.find(socket, os.environ)
