"""Questions at the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from mirror.cli.async_command import Interrupted
from mirror.cli.printing import ALERTS


@contextmanager
def asking() -> Iterator[None]:
    """Run a block that asks the user a question.

    Raises:
        Interrupted: the user stopped the command with Ctrl-C or Ctrl-D instead of an answer.
    """
    try:
        yield
    except typer.Abort as error:
        ALERTS.out()  # the cursor stands behind the question
        raise Interrupted from error


def confirmed(question: str) -> bool:
    """Ask a question, and return True if the answer is yes. No answer is no.

    The question goes to standard error, so that standard output holds the results only.

    Raises:
        Interrupted: see :func:`asking`.
    """
    with asking():
        return typer.confirm(question, default=False, err=True)
