"""``Authorization: Basic …``, parsed and built (RFC 7617)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Login:
    """A name and what proves it."""

    username: str
    password: str = field(repr=False)


def build(login: Login) -> str:
    """The header's value."""
    return f"Basic {b64encode(f'{login.username}:{login.password}'.encode()).decode()}"


def parse(encoded: str) -> Login | None:
    """Read what follows ``Basic``; None where it is no name and password in UTF-8."""
    try:
        text = b64decode(encoded, validate=True).decode()
    except ValueError:
        return None
    username, colon, password = text.partition(":")
    return Login(username, password) if colon else None
