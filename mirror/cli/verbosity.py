"""The choice of how much a command tells besides its results, by the options that every command has."""

from __future__ import annotations

from typing import Final, Literal

Choice = Literal["verbose", "quiet", "debug"]

_CHOSEN: Final[set[Choice]] = set()


def choose(choice: Choice) -> None:
    """Choose for the rest of this command line."""
    _CHOSEN.add(choice)


def forget_choices() -> None:
    """Forget the choices of an earlier command line of this process."""
    _CHOSEN.clear()


def is_verbose() -> bool:
    """Return True if the command tells which files it uses and what it does."""
    return "verbose" in _CHOSEN


def is_quiet() -> bool:
    """Return True if the command prints results and errors only."""
    return "quiet" in _CHOSEN


def is_debug() -> bool:
    """Return True if the command prints the traceback of an error."""
    return "debug" in _CHOSEN
