"""``plugin-mirror reload``: let a running server read its configuration again."""

from __future__ import annotations

from typing import Annotated

import typer

from mirror.cli import exit_codes
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import ALERTS, MESSAGES, RESULTS, print_json


def run(
    config: ConfigOption = None,
    data: DataOption = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Longest time to wait, in seconds.")] = 120.0,
    json: JsonOption = False,
) -> None:
    """Let the server on the data folder read its configuration again.

    The server is found by its data folder: --data, or storage.path of --config.
    It reads the file, the environment and the flags of its own start. The
    command waits until all workers use the new settings. Requests go on.

    Exit code 0: the settings are in use. Those that need a restart are named.
    Exit code 1: the server keeps its last settings, and the reason is printed;
    or no server runs on the data folder.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.configuration.reload_request import reload_servers

    # With --data, the configuration is not read: it may be the one that is wrong.
    root = (data or settings_of(config, None).storage.path).expanduser()
    outcomes = reload_servers(root, timeout)
    if json:
        print_json({"servers": [outcome.to_json() for outcome in outcomes]})
    if not outcomes:
        ALERTS.out(
            f"error: no server runs on the data folder {root}; fix: name its folder with --data, or its configuration "
            "with --config",
            highlight=False,
        )
        raise typer.Exit(exit_codes.ANSWER_IS_NO)
    for outcome in outcomes:
        address = outcome.server.addresses[0]
        if outcome.refusal:
            subject = f"{address} keeps its last settings" if outcome.has_answered else address
            for line in outcome.refusal.splitlines():
                ALERTS.out(f"error: {subject}: {line}", highlight=False)
        elif not json:
            RESULTS.out(f"{address}: configuration reloaded", highlight=False)
        if outcome.waiting and not outcome.refusal:
            waiting = ", ".join(outcome.waiting)
            MESSAGES.out(f"warning: {address}: {waiting}: the change waits for a restart", highlight=False)
    if any(outcome.refusal for outcome in outcomes):
        raise typer.Exit(exit_codes.ANSWER_IS_NO)
