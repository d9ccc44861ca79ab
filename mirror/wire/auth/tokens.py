"""Bearer tokens: what is asked of a token server and what it answers (distribution token specification)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from mirror.oci.errors import ManifestInvalid
from mirror.oci.manifest import parse_json_object

#: Most of a token server's answer that is read, in bytes.
MAX_TOKEN_BODY_BYTES = 64 * 1024
_LEAST_LIFETIME_SECONDS = 60
_LONGEST_LIFETIME_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Token:
    """A token as given.

    Attributes:
        value: what follows ``Bearer``.
        lifetime_seconds: how long it is good for, counted from when it was given.
    """

    value: str = field(repr=False)
    lifetime_seconds: int

    @classmethod
    def parse(cls, body: bytes) -> Token:
        """Read a token server's answer. A lifetime that is absent or under a minute counts as a minute.

        Raises:
            ManifestInvalid: it is not JSON, or holds no token that fits into a header.
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
    """The URL to GET a token from.

    Args:
        realm: the challenge's ``realm``; a query that it holds is kept.
        service: the challenge's ``service``, where it has one.
        scopes: what is wanted; each becomes a parameter of its own.
        account: the user's name, where there is one.
    """
    pairs = [("service", service)] if service else []
    pairs += [("scope", scope) for scope in scopes]
    pairs += [("account", account)] if account else []
    query = urlencode(pairs, quote_via=quote, safe="/:,*")
    joined = "&" if "?" in realm else "?"
    return f"{realm}{joined}{query}" if query else realm


def password_form(service: str | None, scopes: Iterable[str], client: str, username: str, password: str) -> bytes:
    """The form to POST for a token with a password (OAuth 2.0, as the token specification has it).

    Args:
        service: the challenge's ``service``, where it has one.
        scopes: what is wanted; they become one parameter.
        client: what we call ourselves.
        username, password: who we are.
    """
    secrets = [("username", username), ("password", password)]
    return _form("password", service, scopes, client, secrets)


def refresh_form(service: str | None, scopes: Iterable[str], client: str, identity_token: str) -> bytes:
    """The form to POST for a token with an identity token; the rest as for :func:`password_form`."""
    return _form("refresh_token", service, scopes, client, [("refresh_token", identity_token)])


def _form(grant: str, service: str | None, scopes: Iterable[str], client: str, secrets: list[tuple[str, str]]) -> bytes:
    pairs = [("grant_type", grant), *([("service", service)] if service else []), ("client_id", client)]
    return urlencode([*pairs, ("scope", " ".join(scopes)), *secrets]).encode()
