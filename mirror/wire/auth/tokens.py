"""Requests to a token server and its answers, from the client's side (distribution token specification)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from mirror.oci.errors import ManifestInvalid
from mirror.oci.manifest import parse_json_object

#: Largest answer read from a token server, in bytes.
MAX_TOKEN_BODY_BYTES = 64 * 1024
# The default of the token specification, and the shortest lifetime it allows.
_LEAST_LIFETIME_SECONDS = 60
_LONGEST_LIFETIME_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token issued by a token server.

    Attributes:
        value: the token, sent after ``Bearer``.
        lifetime_seconds: how long the token is valid after being issued, in seconds.
    """

    value: str = field(repr=False)
    lifetime_seconds: int

    @classmethod
    def parse(cls, body: bytes) -> Token:
        """Parse a token server's answer.

        A missing lifetime, or one below 60 s, counts as 60 s. A lifetime above 30 days counts as 30 days.

        Raises:
            ManifestInvalid: the body is not JSON, or has no token usable in a header.
        """
        value = parse_json_object(body, "answer of the token server")
        text = value.get("token") or value.get("access_token")
        if not isinstance(text, str) or not text.isascii() or not text.isprintable() or " " in text:
            raise ManifestInvalid("answer of the token server holds no token")
        seconds = value.get("expires_in")
        if not isinstance(seconds, int) or isinstance(seconds, bool):
            seconds = _LEAST_LIFETIME_SECONDS
        return cls(text, min(max(seconds, _LEAST_LIFETIME_SECONDS), _LONGEST_LIFETIME_SECONDS))


def token_url(realm: str, service: str | None, scopes: Iterable[str], account: str | None) -> str:
    """Build the URL for requesting a token with GET.

    Args:
        realm: the challenge's ``realm``. A query in the realm is kept.
        service: the challenge's ``service``; None if the challenge has none.
        scopes: the scopes to request, each sent as a separate parameter.
        account: the user's name; None for an anonymous request.
    """
    pairs = [("service", service)] if service else []
    pairs += [("scope", scope) for scope in scopes]
    pairs += [("account", account)] if account else []
    query = urlencode(pairs, quote_via=quote, safe="/:,*")
    joined = "&" if "?" in realm else "?"
    return f"{realm}{joined}{query}" if query else realm


def password_form(service: str | None, scopes: Iterable[str], client: str, username: str, password: str) -> bytes:
    """Build the form for requesting a token with a password (OAuth 2.0, as profiled by the token specification).

    Args:
        service: the challenge's ``service``; None if the challenge has none.
        scopes: the scopes to request, sent as one parameter.
        client: the ``client_id`` we send.
        username: the user's name.
        password: the user's password.
    """
    secrets = [("username", username), ("password", password)]
    return _form("password", service, scopes, client, secrets)


def refresh_form(service: str | None, scopes: Iterable[str], client: str, identity_token: str) -> bytes:
    """Build the form for requesting a token with an identity token. See :func:`password_form` for the arguments."""
    return _form("refresh_token", service, scopes, client, [("refresh_token", identity_token)])


def _form(grant: str, service: str | None, scopes: Iterable[str], client: str, secrets: list[tuple[str, str]]) -> bytes:
    pairs = [("grant_type", grant), *([("service", service)] if service else []), ("client_id", client)]
    return urlencode([*pairs, ("scope", " ".join(scopes)), *secrets]).encode()
