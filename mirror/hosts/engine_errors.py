"""Errors of Docker Engines, a branch of the tree in :mod:`mirror.oci.errors`.

::

    EngineFault                  a Docker Engine failed
    ├── EngineUnreachable        no connection, or no answer in time; temporary
    ├── EngineAccessDenied       this user must not open the engine's socket
    ├── EngineRefused            the engine answered with an error
    └── EngineProtocolError      invalid answer
"""

from __future__ import annotations

from mirror.oci.errors import MirrorError


class EngineFault(MirrorError):
    """A Docker Engine failed."""

    reason = "engine"


class EngineUnreachable(EngineFault):
    """An engine cannot be connected to, or did not answer in time."""

    temporary = True


class EngineAccessDenied(EngineFault):
    """This user must not open the socket of the engine."""


class EngineRefused(EngineFault):
    """An engine answered with an error.

    Args:
        message: see :class:`MirrorError`.
        status: HTTP status of the answer; 200 if the error came within a stream.
        said: the engine's own message, with printable characters only.
    """

    def __init__(self, message: str, *, status: int = 500, said: str = "") -> None:
        super().__init__(message, status=status, said=said)
        self.status = status
        self.said = said


class EngineProtocolError(EngineFault):
    """An engine sent an invalid answer."""
