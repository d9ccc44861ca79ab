"""``plugin-mirror serve``: run the registry."""

from __future__ import annotations

from typing import Annotated

import typer

from mirror.cli.options import ConfigOption, DataOption, flags
from mirror.settings import load


def run(
    config: ConfigOption = None,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen",
            "-l",
            metavar="HOST:PORT",
            help="Address to listen on. Overrides server.listen (default: 127.0.0.1:5000).",
        ),
    ] = None,
    data: DataOption = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", help="Number of processes. Overrides server.workers (default: 1).")
    ] = None,
    read_only: Annotated[
        bool,
        typer.Option(
            "--read-only", help="Change nothing: for a snapshot, a read-only mount or a folder of another user."
        ),
    ] = False,
) -> None:
    """Run the registry until SIGTERM or SIGINT stops it.

    Without a configuration file the server listens on 127.0.0.1:5000, keeps its
    data in ./data, and lets everybody on this machine pull and push. To listen on
    an address that other hosts can reach, the configuration must say what
    anonymous callers may do (server.anonymous).
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.serving import serve

    # A flag that is not given is None, so that it does not override the file or the environment.
    only_reads = True if read_only else None
    given = flags(server__listen=listen, storage__path=data, server__workers=workers, server__read_only=only_reads)
    raise typer.Exit(serve(load(config, given)))
