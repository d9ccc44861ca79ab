"""Output of checks of a host, for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mirror.cli.printing import RESULTS, print_judged, wrapped
from mirror.oci.printable_text import printable

if TYPE_CHECKING:
    from mirror.hosts.checks.host_check import HostCheck, HostPrediction

#: Column at which the text of a check begins.
_TEXT_AT = 23
_STYLES = {"ok": "green", "done": "green", "problem": "bold red", "warning": "yellow", "unknown": "dim"}


def print_checks(checks: Iterable[HostCheck]) -> None:
    """Print each check on a line, and its fix on the next."""
    for check in checks:
        outcome = check.outcome.value
        line = wrapped(RESULTS, f"  {outcome:<8} {check.name + ':':<11} {printable(check.text)}", _TEXT_AT)
        print_judged(outcome, _STYLES[outcome], line)
        if check.fix:
            RESULTS.out(f"{'':<11}fix: {printable(check.fix)}", highlight=False)


def forecasts_of(prediction: HostPrediction) -> str:
    """Return the forecast for each step, as one line."""
    return ", ".join(f"will {step.value}: {forecast.value}" for step, forecast in prediction.forecasts.items())
