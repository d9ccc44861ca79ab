"""``plugin-mirror migrate``: move the catalog to another database."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, print_json, wrapped


def run(
    to_config: Annotated[
        Path, typer.Option("--to-config", metavar="FILE", help="Configuration that names the new catalog.")
    ],
    *,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Move the catalog to the database of another configuration.

    Stop the server first. The catalog moves from the file of the data folder
    to PostgreSQL, between two databases of PostgreSQL, or back. Blobs stay in
    the data folder. The new database must have no catalog. The old catalog is
    kept. A move that was interrupted leaves the old catalog as it was.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.storage.migrating import migrate

    source, target = settings_of(config, data), settings_of(to_config, data)
    work = migrate(source, target)
    if MESSAGES.is_terminal:
        with MESSAGES.status("moving the catalog"):
            done = run_to_the_end(work)
    else:
        done = run_to_the_end(work)
    if json:
        print_json(asdict(done))
        return
    told = f"the catalog is in {done.target} now; start the server with {to_config}"
    RESULTS.out(wrapped(RESULTS, told, 2), highlight=False)
    RESULTS.out(wrapped(RESULTS, f"the old catalog is kept: {done.kept}", 2), highlight=False)
