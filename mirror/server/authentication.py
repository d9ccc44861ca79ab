"""Authentication of callers, challenges, and the ``/token`` endpoint.

A challenge is always ``Bearer`` and names all scopes the request needs (distribution token specification). ``Basic`` is
accepted but never asked for. An engine using this server as a mirror would answer with its password for Docker Hub.
"""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

from mirror.access.callers import Caller, Callers
from mirror.access.rights import AccessAction
from mirror.oci import Repository
from mirror.oci.errors import ClientFault, MirrorError, RepositoryUnknown, RightMissing, Unauthorized
from mirror.records.changes.actor import ActorKind, act_as
from mirror.server.forwarded import ForwardedHeaders
from mirror.server.request_context import CLIENT_CERTIFICATE, USER, RequestContext
from mirror.wire import request_line, routes
from mirror.wire.auth import basic_auth, grants
from mirror.wire.auth.authorization import Authorization
from mirror.wire.auth.basic_auth import Login
from mirror.wire.auth.challenges import Challenge
from mirror.wire.auth.grants import MAX_FORM_BYTES, GrantRequest
from mirror.wire.auth.scopes import needed
from mirror.wire.routes import Route

TOKEN_PATH: Final = "/token"  # noqa: S105 - a path
_HUB: Final = "docker.io"


class Authentication:
    """Identifies callers and builds challenges.

    Args:
        callers: the known callers.
        service: the ``service`` that tokens are issued for.
        forwarded: builds the server's public URL, and finds the client's address.
        by_certificate: True if client certificates may give rights too.
        issuer: URL of the server that issues tokens; None: this server issues them.
    """

    def __init__(
        self,
        callers: Callers,
        service: str,
        forwarded: ForwardedHeaders,
        *,
        by_certificate: bool = False,
        issuer: str | None = None,
    ) -> None:
        self._callers = callers
        self._service = service
        self._forwarded = forwarded
        self._issuer = issuer
        self._or_certificate = ", or a client certificate with this right" if by_certificate else ""

    @property
    def takes_passwords(self) -> bool:
        """True if users log in at this server, and not at another one that issues tokens."""
        return self._issuer is None

    async def caller(self, request: web.BaseRequest, authorization: str) -> Caller | None:
        """Identify the caller by the ``Authorization`` header.

        Returns:
            The caller; None if there are no users, so that the header means nothing.

        Raises:
            Unauthorized: the header proves no identity.
            TooManyRequests: the client's address sent too many wrong passwords.
        """
        if not await self._callers.known():
            return None
        given, client = Authorization.parse(authorization), request.get(CLIENT_CERTIFICATE)
        if given.scheme == "bearer":
            caller = await self._callers.by_token(given.credentials, client)
        elif given.scheme == "basic":
            caller = await self._callers.by_login(_login(given), self._forwarded.client_key(request), client)
        else:
            raise Unauthorized("Authorization is neither Bearer nor Basic")
        if caller.name is not None:
            request[USER] = caller.name
        if caller.has_login:
            act_as(ActorKind.USER, caller.name or "", caller.proof)
        return caller

    async def require_login(self) -> None:
        """Require a token, even an anonymous one, if there are users.

        Without this challenge ``docker login`` would accept any password, and engines would never log in to push.

        Raises:
            Unauthorized: there are users.
        """
        if await self._callers.known():
            raise Unauthorized(
                f"a token is required; clients fetch one from {self._issuer or TOKEN_PATH}, also without a login"
            )

    async def refusal(
        self, error: RightMissing | Unauthorized, request: web.BaseRequest, route: Route, caller: Caller | None = None
    ) -> MirrorError:
        """Build the error for a client that may not do what it requests.

        Args:
            error: the reason.
            request: the request.
            route: the route of the request.
            caller: the identified caller; None if the client sent no valid login.

        Returns:
            A challenge if a login or another token could help, else an error without challenge.
        """
        if isinstance(error, Unauthorized):
            return self._challenge(error.message, request, route, error.detail.get("error"))
        if caller is None and not await self._callers.known():
            return error
        if caller is None and _is_for_docker_hub(request, route):
            # 404 makes an engine go on to Docker Hub. A challenge would make it send us its password for Docker Hub.
            return RepositoryUnknown("content of this repository is not available here without a login")
        if caller is None:
            client = request.get(CLIENT_CERTIFICATE)
            needed_too = self._or_certificate if client is None else f", because {client.name} lacks this right"
            login = f"docker login {self._forwarded.public_url(request).partition('//')[2]}"
            return self._challenge(f"{_asked(error)} needs a login: {login}{needed_too}", request, route)
        # Another token may allow this: one with a login, or one with the missing scope.
        if not caller.has_login or _could(caller, error):
            return self._challenge(error.message, request, route, "insufficient_scope")
        return error

    async def token(self, context: RequestContext) -> web.Response:
        """Answer ``/token`` with a token for the requested scopes, as far as the caller may have them."""
        request = context.request
        asked = await _asked_for(context)
        if asked.service not in {None, self._service}:
            raise ClientFault(f"no tokens are issued for {(asked.service or '')[:100]!r}", service=self._service)
        client = self._forwarded.client_key(request)
        given = await self._callers.grant(
            asked.scopes, client, asked.login, asked.identity_token, request.get(CLIENT_CERTIFICATE)
        )
        if given.user is not None:
            request[USER] = given.user
        return web.Response(
            body=grants.answer(given.token, given.lifetime_seconds, given.issued_at),
            content_type="application/json",
            headers={hdrs.CACHE_CONTROL: "no-store"},
        )

    def challenged(self, error: Unauthorized, request: web.BaseRequest) -> Unauthorized:
        """Return the error with a challenge, for paths outside the distribution API.

        The challenge is always Bearer. After a Basic challenge a browser would keep the password, and send it with
        whatever a page of another site posts to this server.
        """
        return self._challenge(error.message, request, None, error.detail.get("error"))

    def _challenge(
        self, message: str, request: web.BaseRequest, route: Route | None, error: str | None = None
    ) -> Unauthorized:
        scopes = "" if route is None else " ".join(map(str, needed(request.method, route)))
        realm = self._issuer or f"{self._forwarded.public_url(request)}{TOKEN_PATH}"
        parameters = {"realm": realm, "service": self._service}
        parameters |= {"scope": scopes} if scopes else {}
        parameters |= {"error": error} if error else {}
        return Unauthorized(message, challenge=Challenge("bearer", parameters).build())


def _login(given: Authorization) -> Login:
    login = basic_auth.parse(given.credentials)
    if login is None:
        raise Unauthorized("Authorization: Basic has no valid user name and password")
    return login


def _asked(error: MirrorError) -> str:
    action, name = error.detail.get("action", "this"), error.detail.get("name")
    return f"{action} of {name}" if name else action


def _could(caller: Caller, error: RightMissing) -> bool:
    """Return True if another token would allow the caller to do this."""
    action, name = error.detail.get("action", ""), error.detail.get("name")
    return name is None or caller.own_rights.allows(AccessAction(action), Repository(name))


def _is_for_docker_hub(request: web.BaseRequest, route: Route) -> bool:
    reads = request.method in {"GET", "HEAD"} and not isinstance(route, routes.PingRoute)
    return reads and _HUB in request_line.parse_query(request.rel_url.raw_query_string).get("ns", ())


async def _asked_for(context: RequestContext) -> GrantRequest:
    request = context.request
    if request.method == "POST":
        return GrantRequest.parse_form(b"".join([chunk async for chunk in context.receive(MAX_FORM_BYTES)]))
    given = Authorization.parse(request.headers.get(hdrs.AUTHORIZATION, ""))
    login = _login(given) if given.scheme == "basic" else None
    return GrantRequest.parse_query(request.rel_url.raw_query_string, login)
