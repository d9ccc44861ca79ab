"""Parsing and building of ``Authorization: Basic`` (RFC 7617)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Login:
    """A user name with the password or access token proving it."""

    username: str
    password: str = field(repr=False)


def build(login: Login) -> str:
    """Return the value of an ``Authorization: Basic`` header for the login."""
    return f"Basic {b64encode(f'{login.username}:{login.password}'.encode()).decode()}"


def parse(encoded: str) -> Login | None:
    """Parse the credentials after ``Basic``. Return None if they are not a name and a password in UTF-8."""
    try:
        text = b64decode(encoded, validate=True).decode()
    except ValueError:
        return None
    # Split at the first colon: a password may contain colons, a user name may not (RFC 7617, section 2).
    username, colon, password = text.partition(":")
    return Login(username, password) if colon else None
