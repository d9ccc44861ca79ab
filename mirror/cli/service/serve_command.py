"""``plugin-mirror serve``: the registry."""

from __future__ import annotations

from typing import Annotated

import typer

from mirror.cli.options import ConfigOption, DataOption, flags
from mirror.settings import load


def run(
    config: ConfigOption = None,
    listen: Annotated[
        str | None,
        typer.Option("--listen", "-l", metavar="HOST:PORT", help="Where to listen, if not 127.0.0.1:5000."),
    ] = None,
    data: DataOption = None,
    workers: Annotated[int | None, typer.Option("--workers", "-w", help="Processes that serve, if not one.")] = None,
) -> None:
    """Serve the registry until it is told to stop.

    Needs no file: it listens on 127.0.0.1:5000, keeps its data in ./data, and lets everybody on this machine pull
    and push. An address that other hosts can reach wants words about that: server.anonymous in the configuration.
    """
    from mirror.app.serving import serve

    given = flags(server__listen=listen, storage__path=data, server__workers=workers)
    raise typer.Exit(serve(load(config, given)))
