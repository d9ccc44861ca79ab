"""Token requests received by our token endpoint, and its answers.

Clients use GET with ``Authorization: Basic`` (distribution token specification), or POST a form (OAuth 2.0, RFC 6749,
sections 4.3 and 6, as profiled by the token specification). :mod:`mirror.wire.auth.tokens` is the client's side.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import parse_qs

from mirror.oci.errors import ClientFault
from mirror.oci.timestamps import machine_time
from mirror.wire.auth.basic_auth import Login
from mirror.wire.auth.scopes import Scope, parse_scopes

#: Largest form accepted, in bytes.
MAX_FORM_BYTES: Final = 64 * 1024
# Bounds the work that an unauthenticated client can cause with one form.
_MOST_FIELDS: Final = 256


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """A client's request for a token.

    Attributes:
        service: the service the token is meant for; None if the client names none.
        scopes: the scopes asked for.
        login: name and password; None if the client sends none.
        identity_token: an access token sent without a user name; None if the client sends none.
    """

    service: str | None
    scopes: tuple[Scope, ...]
    login: Login | None = None
    identity_token: str | None = field(default=None, repr=False)

    @classmethod
    def parse_query(cls, query: str, login: Login | None) -> GrantRequest:
        """Parse the query of a GET request.

        Args:
            query: the part of the URL after ``?``.
            login: the login from the ``Authorization`` header; None if there is none.

        Raises:
            ClientFault: the query is malformed or has more than 256 fields.
        """
        fields = _fields(query)
        return cls(_first(fields, "service"), parse_scopes(fields.get("scope", ())), login)

    @classmethod
    def parse_form(cls, body: bytes) -> GrantRequest:
        """Parse the form of a POST request.

        Raises:
            ClientFault: the form is malformed or has more than 256 fields, or its ``grant_type`` is not supported.
        """
        try:
            fields = _fields(body.decode())
        except UnicodeDecodeError as error:
            raise ClientFault("the form is not UTF-8") from error
        service, scopes = _first(fields, "service"), parse_scopes(fields.get("scope", ()))
        grant = _first(fields, "grant_type")
        if grant == "password":
            login = Login(_first(fields, "username") or "", _first(fields, "password") or "")
            return cls(service, scopes, login)
        if grant == "refresh_token":
            return cls(service, scopes, identity_token=_first(fields, "refresh_token") or "")
        raise ClientFault(f"grant_type {(grant or '')[:64]!r} is not supported; use password or refresh_token")


def answer(token: str, lifetime_seconds: int, issued_at: datetime) -> bytes:
    """Build the JSON body that delivers a token.

    Args:
        token: the token, which the client sends after ``Bearer``.
        lifetime_seconds: how long the token is valid, in seconds.
        issued_at: start of the token's lifetime, in UTC.
    """
    # Clients read either name: ``token`` is the token specification's, ``access_token`` is OAuth 2.0's.
    value = {
        "token": token,
        "access_token": token,
        "expires_in": lifetime_seconds,
        "issued_at": machine_time(issued_at),
        "token_type": "bearer",
    }
    return json.dumps(value).encode()


def _fields(text: str) -> Mapping[str, Sequence[str]]:
    try:
        return parse_qs(text, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError as error:
        raise ClientFault(f"the request for a token cannot be read: {error}") from error


def _first(fields: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = fields.get(name)
    return values[0] if values else None
