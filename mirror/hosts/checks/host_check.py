"""Result of the checks of a host: single checks, and the forecast for each step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Step(Enum):
    """Step from a registry to a plugin in use. A step needs the steps before it."""

    INSTALL = "install"
    ENABLE = "enable"
    FIND = "be found"


class Outcome(Enum):
    """Outcome of one check."""

    OK = "ok"
    #: The step has been taken already, and those before it.
    DONE = "done"
    #: The step will fail.
    PROBLEM = "problem"
    #: The step may fail, or an operator should know about the risk.
    WARNING = "warning"
    #: This program cannot know.
    UNKNOWN = "unknown"


class Forecast(Enum):
    """Forecast for one step."""

    YES = "yes"
    DONE = "done already"
    NO = "no"
    UNSURE = "not sure"


@dataclass(frozen=True, slots=True)
class HostCheck:
    """Outcome of one check.

    Attributes:
        name: name of the check, for programs.
        outcome: outcome.
        text: the fact, as a phrase.
        step: step that fails, may fail or is done; None if the check is about a risk only.
        fix: advice or a command; empty if there is nothing to do.
    """

    name: str
    outcome: Outcome
    text: str
    step: Step | None = None
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        step = self.step and self.step.value
        return {
            "check": self.name,
            "outcome": self.outcome.value,
            "step": step,
            "text": self.text,
            "fix": self.fix or None,
        }


@dataclass(frozen=True, slots=True)
class HostPrediction:
    """All checks of a host for one plugin.

    Attributes:
        checks: the checks, in the order in which an install meets them.
    """

    checks: tuple[HostCheck, ...]

    @property
    def has_problems(self) -> bool:
        """True if any step will fail."""
        return Forecast.NO in self.forecasts.values()

    @property
    def forecasts(self) -> dict[Step, Forecast]:
        """The forecast for each step."""
        return {step: self.forecast(step) for step in Step}

    def forecast(self, step: Step) -> Forecast:
        """Return the forecast for a step, from the checks about the step and those before it that are not done."""
        steps = list(Step)
        done = [steps.index(check.step) for check in self.checks if check.step and check.outcome is Outcome.DONE]
        needed = steps[max(done, default=-1) + 1 : steps.index(step) + 1]
        if not needed:
            return Forecast.DONE
        about = {check.outcome for check in self.checks if check.step in needed}
        if Outcome.PROBLEM in about:
            return Forecast.NO
        return Forecast.UNSURE if about & {Outcome.WARNING, Outcome.UNKNOWN} else Forecast.YES


def ok(name: str, text: str) -> HostCheck:
    """Return a check without a problem."""
    return HostCheck(name, Outcome.OK, text)


def done(name: str, step: Step, text: str, fix: str) -> HostCheck:
    """Return a check that tells that a step has been taken already."""
    return HostCheck(name, Outcome.DONE, text, step, fix)


def problem(name: str, step: Step, text: str, fix: str) -> HostCheck:
    """Return a check that predicts that a step fails."""
    return HostCheck(name, Outcome.PROBLEM, text, step, fix)


def warning(name: str, step: Step | None, text: str, fix: str = "") -> HostCheck:
    """Return a check that tells a risk."""
    return HostCheck(name, Outcome.WARNING, text, step, fix)


def unknown(name: str, step: Step | None, text: str, fix: str = "") -> HostCheck:
    """Return a check that could not be made."""
    return HostCheck(name, Outcome.UNKNOWN, text, step, fix)


def or_ok(found: Iterable[HostCheck], name: str, text: str) -> tuple[HostCheck, ...]:
    """Return the checks, or one check without a problem if there are none."""
    return tuple(found) or (ok(name, text),)
