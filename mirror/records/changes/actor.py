"""The person or program for whom the current task changes something."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class ActorKind(StrEnum):
    """Kind of an actor."""

    #: A user who has logged in.
    USER = "user"
    #: A client with a certificate.
    CERTIFICATE = "certificate"
    #: A client without a login and without a certificate.
    ANONYMOUS = "anonymous"
    #: A person on this machine who runs a command.
    COMMAND = "command"
    #: A mirror rule.
    RULE = "rule"
    #: The server on its own account, for example when it retires tags.
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or program that changes something.

    Attributes:
        kind: kind of the actor.
        name: name of the user, the certificate, the user of the operating system or the mirror rule; else empty.
        proof: what proved a login, without its secret: ``password:0123456789abcdef`` or ``token:01234567``; else empty.
        address: address of the client; empty for work on this machine.
        allowed_by: what allows a client the change: ``access: rule 2``, ``server.anonymous``; else empty.
    """

    kind: ActorKind
    name: str = ""
    proof: str = ""
    address: str = ""
    allowed_by: str = ""


# A context variable, because the store records changes and has no access to requests.
#: Actor that has been identified. None for clients that are not, and for work that nobody requested.
IDENTIFIED: Final[ContextVar[Actor | None]] = ContextVar("identified", default=None)
#: What allows the client of the current request to change something, see :attr:`Actor.allowed_by`.
ALLOWED_BY: Final[ContextVar[str]] = ContextVar("allowed_by", default="")


def act_as(kind: ActorKind, name: str, proof: str = "") -> None:
    """Mark the work of the current task, from now on, as that of an actor."""
    IDENTIFIED.set(Actor(kind, name, proof))
