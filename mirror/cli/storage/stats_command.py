"""``plugin-mirror stats``: sizes, sharing, traffic and pulls of a store, and the state of its upkeep."""

from __future__ import annotations

from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import print_json
from mirror.cli.storage.stats_output import print_report


def run(config: ConfigOption = None, data: DataOption = None, json: JsonOption = False) -> None:
    """Show what the store holds, what it saves, and what its upkeep does.

    Numbers of a running server may be a minute old. The server gives the same
    report at /api/v1/storage. --json lists more repositories and tags.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.numbers.storage_report import stored_report

    report = run_to_the_end(stored_report(settings_of(config, data)))
    if json:
        print_json(report)
    else:
        print_report(report)
