"""Tokens from a token server, without any I/O (distribution token specification; RFC 6749)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from urllib.parse import urlsplit

from mirror.oci.errors import ClientFault, UpstreamBusy, UpstreamProtocolError, UpstreamRefused
from mirror.upstream.auth.auth_steps import AuthReply, Sent, Step, TokenRequest, replied, required_login
from mirror.upstream.auth.credentials import Credentials
from mirror.wire.auth import basic_auth
from mirror.wire.auth.basic_auth import Login
from mirror.wire.auth.challenges import Challenge
from mirror.wire.auth.tokens import Token, password_form, refresh_form, token_url

_CLIENT = "docker-plugin-mirror"
# Statuses with which token servers reject POST, or this form of it. containerd falls back to GET for the same statuses.
_ASK_BY_GET = frozenset({400, 401, 404, 405})


@dataclass(frozen=True, slots=True)
class TokenAsking:
    """Token server and scopes of a token request."""

    realm: str
    service: str | None
    scopes: tuple[str, ...]


class TokenClient:
    """Token requests of one upstream.

    Args:
        name: name of the upstream, for errors.
        plain_http: True if a token server may be contacted without encryption.
    """

    def __init__(self, name: str, *, plain_http: bool) -> None:
        self._name = name
        self._plain_http = plain_http
        self._realm_of_get = ""

    def token(self, asking: TokenAsking) -> Generator[Step, Sent, Token]:
        """Get a token.

        Raises:
            UpstreamRefused: the token server does not issue a token.
            UpstreamBusy: the token server is busy.
            UpstreamProtocolError: the answer of the token server is invalid.
        """
        login = yield from required_login()
        reply = yield from self._replied(asking, login)
        server = f"upstream {self._name}: token server {urlsplit(asking.realm).netloc}"
        if reply.status == 429 or reply.status >= 500:
            seconds = reply.retry_after_seconds
            raise UpstreamBusy(
                f"{server} answered {reply.status}; fix: try again later",
                status=reply.status,
                **({} if seconds is None else {"retry_after_seconds": seconds}),
            )
        if reply.status != 200:
            who = f"{login.label}; fix: check the password" if login else "an anonymous request; fix: configure a login"
            raise UpstreamRefused(f"{server} answered {reply.status} to {who}", status=reply.status)
        try:
            return Token.parse(reply.body)
        except ClientFault as error:
            raise UpstreamProtocolError(f"{server}: {error}") from error

    def realm(self, challenge: Challenge) -> str:
        """Return the URL of the token server that a challenge names.

        Raises:
            UpstreamProtocolError: the URL is invalid, or is ``http://`` without ``plain_http``.
        """
        realm = challenge.parameters.get("realm", "")
        try:
            parts = urlsplit(realm)
            usable = bool(parts.hostname) and parts.username is None and not parts.fragment
        except ValueError:
            usable = False
        if not usable or parts.scheme not in {"https", "http"}:
            raise UpstreamProtocolError(
                f"upstream {self._name} names the token server {realm[:200]!r}, which is not a valid URL"
            )
        if parts.scheme == "http" and not self._plain_http:
            raise UpstreamProtocolError(
                f"upstream {self._name} names the token server {realm[:200]!r}, which is not encrypted, "
                "so no credentials are sent there; fix: set 'plain_http: true' for the upstream if this is intended"
            )
        return realm

    def _replied(self, asking: TokenAsking, login: Credentials | None) -> Generator[Step, Sent, AuthReply]:
        """Send a token request: POST if there is a secret, or GET if there is none or the server rejects POST."""
        service, scopes = asking.service, asking.scopes
        if login is not None and login.identity_token:
            form = refresh_form(service, scopes, _CLIENT, login.identity_token)
            return (yield from replied(TokenRequest(asking.realm, form=form)))
        if login is not None and asking.realm != self._realm_of_get:
            form = password_form(service, scopes, _CLIENT, login.username, login.password)
            reply = yield from replied(TokenRequest(asking.realm, form=form))
            if reply.status not in _ASK_BY_GET:
                return reply
        url = token_url(asking.realm, service, scopes, login.username if login else None)
        reply = yield from replied(TokenRequest(url, basic(login)))
        if login is not None and reply.status == 200:
            self._realm_of_get = asking.realm  # the next token is requested by GET at once
        return reply


def basic(login: Credentials | None) -> str | None:
    """Return ``Authorization`` with user name and password; None if the login has no password."""
    if login is None or not login.username or not login.password:
        return None
    return basic_auth.build(Login(login.username, login.password))
