"""``plugin-mirror events``: events that endpoints have not taken, and sending them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import RESULTS, counted, print_json, print_list
from mirror.cli.terminal.tables import print_table
from mirror.oci.errors import ConfigurationFault
from mirror.oci.timestamps import machine_time
from mirror.runtime.clock import SystemClock

#: Shown instead of the last problem.
_FORMER: Final = "not in the configuration"


def list_(config: ConfigOption = None, data: DataOption = None, json: JsonOption = False) -> None:
    """List the endpoints with the number of events that wait, and of dead letters.

    An event becomes a dead letter if its endpoint has not taken it within a day.
    Events of an endpoint that is no longer configured are kept for a week.

    Exit code 1: an endpoint has dead letters.
    """
    from mirror.app.services import open_store

    settings = settings_of(config, data)

    async def read() -> list[dict[str, Any]]:
        async with open_store(settings, only_reads=True) as store:
            counts = {one.endpoint: one for one in await store.records.deliveries.counts()}
        configured = [each.shown_name for each in settings.events]
        return [
            {
                "endpoint": name,
                "configured": name in configured,
                "waiting": counts[name].waiting if name in counts else 0,
                "waiting_since": machine_time(counts[name].oldest_at) if name in counts else None,
                "dead_letters": counts[name].dead if name in counts else 0,
                "problem": counts[name].problem if name in counts else "",
            }
            for name in dict.fromkeys([*configured, *counts])
        ]

    found = run_to_the_end(read())
    print_list(found, _print, "the configuration has no endpoints under events:", as_json=json)
    if any(row["dead_letters"] and row["configured"] for row in found):
        raise typer.Exit(exit_codes.ANSWER_IS_NO)


def resend(
    endpoint: Annotated[str | None, typer.Argument(metavar="NAME", help="Endpoint. Default: all endpoints.")] = None,
    change: Annotated[
        int | None, typer.Option("--change", metavar="N", help="Only the event of this change, the end of its id.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Send dead letters again. The server sends them within a second."""
    from mirror.app.services import open_store

    settings = settings_of(config, data)

    async def send() -> int:
        async with open_store(settings, must_exist=True) as store:
            known = [*(each.shown_name for each in settings.events)]
            if endpoint is not None and endpoint not in known:
                raise ConfigurationFault(
                    f"no endpoint is called {endpoint!r}; fix: write one of: {', '.join(known)}"
                    if known
                    else "the configuration has no endpoints; fix: add one under events:"
                )
            wanted, now = known if endpoint is None else [endpoint], SystemClock().now()
            return sum([await store.records.deliveries.resend(name, change, now) for name in wanted])

    resent = run_to_the_end(send())
    if json:
        print_json({"resent": resent})
    else:
        RESULTS.out(f"{counted(resent, 'event')} will be sent again")


def _print(found: Sequence[dict[str, Any]]) -> None:
    rows = [
        (
            row["endpoint"],
            str(row["waiting"]),
            row["waiting_since"] or "-",
            str(row["dead_letters"]),
            row["problem"] or "-" if row["configured"] else _FORMER,
        )
        for row in found
    ]
    print_table(
        RESULTS,
        ("ENDPOINT", "WAITING", "SINCE", "DEAD LETTERS", "LAST PROBLEM"),
        rows,
        wrap=["LAST PROBLEM"],
        right=["WAITING", "DEAD LETTERS"],
    )
