"""The mirror rule for which the current task works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

# A context variable, because the tags of a rule pass through wrappers that other callers use as well, and the store
# must tell them from tags that a client pushes (ADR 37).
#: Name of the mirror rule whose run stores content. Empty for all other work.
RULE: Final[ContextVar[str]] = ContextVar("rule", default="")


@contextmanager
def working_for(rule: str) -> Iterator[None]:
    """Mark the work of a context, and of tasks that are created there, as the work of a mirror rule."""
    before = RULE.set(rule)
    try:
        yield
    finally:
        RULE.reset(before)
