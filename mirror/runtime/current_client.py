"""The client for which the current task or thread works."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

# A context variable is copied into tasks and threads, so code that has no access to the request can read the client.
#: Address of the client whose request is being answered. Empty for work that no client requested.
CLIENT: Final[ContextVar[str]] = ContextVar("client", default="")
