"""Whom work is done for, known wherever it is done."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

#: The client whose request is being answered; empty for what nobody has asked for.
CLIENT: Final[ContextVar[str]] = ContextVar("client", default="")
