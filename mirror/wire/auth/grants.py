"""The other side of :mod:`mirror.wire.auth.tokens`: requests for a token read, and answers to them built.

By GET with ``Authorization: Basic`` (distribution token specification), or by POST of a form (OAuth 2.0, RFC 6749
sections 4.3 and 6, as the token specification has it).
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

#: Most of a form that is read, in bytes.
MAX_FORM_BYTES: Final = 64 * 1024
_MOST_FIELDS: Final = 256


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """Somebody asks for a token.

    Attributes:
        service: whom the token is to be shown to, where that is said.
        scopes: what it is to be for.
        login: name and password; None where nobody says who they are.
        identity_token: a secret that says who they are without a name.
    """

    service: str | None
    scopes: tuple[Scope, ...]
    login: Login | None = None
    identity_token: str | None = field(default=None, repr=False)

    @classmethod
    def parse_query(cls, query: str, login: Login | None) -> GrantRequest:
        """Read the query of a GET.

        Args:
            query: what follows ``?``.
            login: out of ``Authorization``.

        Raises:
            ClientFault: it is no query, or holds too much.
        """
        fields = _fields(query)
        return cls(_first(fields, "service"), parse_scopes(fields.get("scope", ())), login)

    @classmethod
    def parse_form(cls, body: bytes) -> GrantRequest:
        """Read the form of a POST.

        Raises:
            ClientFault: it is no form, or asks in a way that is not known here.
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
        raise ClientFault(f"grant_type {(grant or '')[:64]!r} is not known here: password and refresh_token are")


def answer(token: str, lifetime_seconds: int, issued_at: datetime) -> bytes:
    """The JSON body that gives a token.

    Args:
        token: what is to follow ``Bearer``.
        lifetime_seconds: how long it is good for.
        issued_at: from when on, in UTC.
    """
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
