"""The client for which the current task works."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

# A context variable, because the catalog schedules reads by client and has no access to the request.
#: Address of the client whose request is being answered. Empty for work that no client requested.
CLIENT: Final[ContextVar[str]] = ContextVar("client", default="")
#: True while a Docker engine reads a manifest. Unknown for all other requests, and then False.
IS_ENGINE: Final[ContextVar[bool]] = ContextVar("is_engine", default=False)
