"""Output of checks of a host, for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from mirror.cli.printing import wrapped
from mirror.hosts.checks.host_check import HostCheck, HostPrediction
from mirror.oci.printable_text import printable

#: Column at which the text of a check begins.
_TEXT_AT = 23
_STYLES = {"ok": "green", "done": "green", "problem": "bold red", "warning": "yellow", "unknown": "dim"}


def print_checks(console: Console, checks: Iterable[HostCheck]) -> None:
    """Print each check on a line, and its fix on the next."""
    for check in checks:
        outcome = check.outcome.value
        # Texts quote the engine and the plugin. Text does not parse markup.
        line = Text(wrapped(console, f"  {outcome:<8} {check.name + ':':<11} {printable(check.text)}", _TEXT_AT))
        line.stylize(_STYLES[outcome], 2, 2 + len(outcome))
        console.print(line)
        if check.fix:
            console.out(f"{'':<11}fix: {printable(check.fix)}", highlight=False)


def forecasts_of(prediction: HostPrediction) -> str:
    """Return the forecast for each step, as one line."""
    return ", ".join(f"will {step.value}: {forecast.value}" for step, forecast in prediction.forecasts.items())
