"""``plugin-mirror doctor``: find out why a Docker host cannot install from a registry."""

from __future__ import annotations

import os
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.hosts.check_output import forecasts_of, print_checks
from mirror.cli.hosts.host_options import SocketOption, address_of
from mirror.cli.options import ConfigOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, counted, print_json, size
from mirror.oci import Reference
from mirror.oci.printable_text import printable

if TYPE_CHECKING:
    from mirror.app.hosts.doctoring import Diagnosis, DoctorQuestion
    from mirror.cli.terminal.output import Output


def run(
    reference: Annotated[
        str | None, typer.Argument(metavar="REF", help="The plugin, as the host installs it: HOST[:PORT]/NAME[:TAG].")
    ] = None,
    *,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="HOST[:PORT]", help="The registry. Default: that in REF, or server.listen."),
    ] = None,
    socket: SocketOption = None,
    quick: Annotated[bool, typer.Option("--quick", help="Do not read the layers: no check of programs.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Find out why a Docker host cannot install from a registry. Run it on that host.

    Goes the way that an engine goes: name, TCP, TLS or plain HTTP, daemon.json
    and certs.d, /v2/, token, manifest and blobs. Then lets the engine go it, and
    checks if the plugin fits the engine. Each problem is printed with its fix.
    Changes nothing.

    Exit code 1: something is wrong.
    """
    from mirror.app.hosts.doctoring import diagnose, question_of
    from mirror.app.plugin_inspection import advertised_host

    settings = settings_of(config, None)
    named = None if reference is None else Reference.parse(reference)
    asked = question_of(named, host, address_of(socket), advertised_host(settings))
    asked = replace(
        asked, names_engine=socket is not None or bool(os.environ.get("DOCKER_HOST")), reads_layers=not quick
    )
    with WaitingLine(MESSAGES) as line:
        found = run_to_the_end(diagnose(asked, settings.server.limits.of_layers(), os.environ, line))
    if json:
        print_json(_as_json(asked, found))
    else:
        _print(asked, found)
    if found.problems:
        raise typer.Exit(exit_codes.ANSWER_IS_NO)


class WaitingLine:
    """A line on a terminal that shows what is waited for. Shows nothing elsewhere.

    Implements :class:`mirror.app.hosts.doctoring.Patient`.

    Args:
        console: the stream to write to.
    """

    def __init__(self, console: Output) -> None:
        self._status = console.status("") if console.is_terminal else None
        self._step = ""
        self._total_bytes = self._done_bytes = 0

    def __enter__(self) -> WaitingLine:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._status is not None:
            self._status.stop()

    def tell(self, step: str) -> None:
        """Show the step that begins."""
        self._step = step
        self._show(step)

    def expect(self, total_bytes: int) -> None:
        """Add bytes to the total of the step."""
        self._total_bytes += total_bytes

    def advance(self, size_bytes: int) -> None:
        """Add bytes that were read."""
        self._done_bytes += size_bytes
        self._show(f"{self._step}: {size(self._done_bytes)} of {size(self._total_bytes)}")

    def _show(self, text: str) -> None:
        if self._status is not None:
            from rich.text import Text

            self._status.update(Text(printable(text)))  # Text does not parse markup


def _as_json(asked: DoctorQuestion, found: Diagnosis) -> dict[str, Any]:
    prediction, version = found.prediction, found.engine.version
    steps = {f"will_{step.value.replace(' ', '_')}": one.value for step, one in prediction.forecasts.items()}
    return {
        "host": asked.place.authority,
        "reference": None if asked.reference is None else str(asked.reference),
        "engine": None if version is None else version.version,
        "problems": len(found.problems),
        **(steps if asked.reference is not None else {}),
        "checks": [check.to_json() for check in prediction.checks],
    }


def _print(asked: DoctorQuestion, found: Diagnosis) -> None:
    what = asked.reference or asked.place.authority
    RESULTS.out(printable(f"the way of this host to {what}"), style="bold", highlight=False)
    print_checks(found.prediction.checks)
    if asked.reference is not None:
        told = forecasts_of(found.prediction)
    else:
        told = counted(len(found.problems), "problem") if found.problems else "no problem found"
    RESULTS.out(told, style="bold", highlight=False)
