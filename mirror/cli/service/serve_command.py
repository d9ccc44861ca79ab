"""``plugin-mirror serve``: run the registry."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mirror.cli.bundles.bundle_options import FoldersOption, PublicKeysOption, UnsignedOption
from mirror.cli.options import ConfigOption, DataOption, configuration_file, flags
from mirror.cli.printing import MESSAGES
from mirror.cli.verbosity import is_quiet, is_verbose
from mirror.oci.errors import ConfigurationFault


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
    *,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", metavar="FILE", help="Serve the content of a bundle, read-only, without an import."),
    ] = None,
    key: PublicKeysOption = None,
    unsigned: UnsignedOption = False,
    parts: FoldersOption = None,
    allow_rollback: Annotated[
        int | None,
        typer.Option(
            "--allow-rollback", metavar="SERIAL", help="Serve this bundle although the data folder knows a later one."
        ),
    ] = None,
) -> None:
    """Run the registry until SIGTERM or SIGINT stops it.

    Without a configuration file the server listens on 127.0.0.1:5000, keeps its
    data in ./data, and lets everybody on this machine pull and push. To listen on
    an address that other hosts can reach, the configuration must say what
    anonymous callers may do (server.anonymous).

    With --bundle, all content comes from the bundle, and everybody may pull
    unless the configuration says otherwise. No data folder is needed. If there
    is one, its trusted keys, users and decisions about plugins apply.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.bundles.bundle_serving import BundleToServe
    from mirror.app.serving import serve
    from mirror.settings import load

    of_bundle = {"--key": key, "--unsigned": unsigned, "--parts": parts, "--allow-rollback": allow_rollback}
    if bundle is None and (alone := next((option for option, value in of_bundle.items() if value), None)):
        raise ConfigurationFault(f"{alone} is about a bundle; fix: name the bundle with --bundle FILE")
    # A flag that is not given is None, so that it does not override the file or the environment.
    only_reads = True if read_only else None
    given = flags(
        server__listen=listen,
        storage__path=data,
        server__workers=workers,
        server__read_only=only_reads,
        log__level="debug" if is_verbose() else "warning" if is_quiet() else None,
    )
    file = configuration_file(config)
    if is_verbose():
        MESSAGES.out(f"configuration: {file or 'no file'}")
    if bundle is None:
        raise typer.Exit(serve(partial(load, file, given), file))
    # Nobody can push to a bundle, so there is nothing to say about it (ADR 5).
    read = partial(load, file, given, defaults={"server": {"anonymous": ["pull"]}})
    wanted = BundleToServe(bundle, parts or (), key or (), unsigned=unsigned, allow_rollback=allow_rollback)
    raise typer.Exit(serve(read, file, wanted))
