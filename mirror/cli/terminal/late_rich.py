"""Keep rich unloaded until a command draws something.

structlog loads rich if it is there, and with it a library of programming languages, to draw tracebacks, which commands
do not log. Both take longer than most commands.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def rich_is_absent() -> Iterator[None]:
    """Make ``import rich`` fail inside the block, until :func:`let_rich_in` is called."""
    if "rich" in sys.modules:  # another part of the process has loaded it
        yield
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # documented for modules that cannot be imported
    try:
        yield
    finally:
        let_rich_in()


def let_rich_in() -> None:
    """Let the rest of the command import rich."""
    if sys.modules.get("rich", ...) is None:
        del sys.modules["rich"]
