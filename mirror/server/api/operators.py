"""Rights under ``/api/v1`` unrelated to content: deciding about plugins, and seeing the hosts that pull them.

``docs/ACCESS.md`` has a table of all cases.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import hdrs, web

from mirror.access.rights import AccessAction, Rights
from mirror.oci import Repository
from mirror.oci.errors import Denied, MirrorError, Unauthorized
from mirror.records.changes.actor import ALLOWED_BY
from mirror.server.authentication import Authentication
from mirror.server.forwarded import ForwardedHeaders
from mirror.server.request_context import CLIENT_CERTIFICATE
from mirror.wire.auth.authorization import Authorization

#: Raises Denied unless called with the right token.
Word: TypeAlias = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Operator:
    """The sender of a request, with their rights.

    Attributes:
        name: the user's name, or the name of a client with a certificate; None for an anonymous sender.
        rights: the rights of the sender.
        has_login: True if the sender has logged in as a user.
    """

    name: str | None
    rights: Rights
    has_login: bool = False

    def require(self, action: AccessAction, repository: Repository | None = None) -> None:
        """Check that the operator may do this, in all repositories if ``repository`` is None.

        Raises:
            RightMissing: the operator may not.
        """
        if not self.rights.allows(action, repository):
            raise self.rights.refusal(action, repository)
        ALLOWED_BY.set(self.rights.basis(action, repository))


@dataclass(frozen=True, slots=True)
class Operators:
    """Identifies the senders of requests and their rights.

    Attributes:
        authentication: identifies users; None if logins are disabled.
        forwarded: interprets proxy headers.
        has_users: returns True if there are users.
        anyone: the rights of callers without a login and without a certificate.
        local: the rights of programs on the server's own machine while there are no users.
        word: checks the token of ``admission.token_file``, with the rights given by the token; None if there is none.
    """

    authentication: Authentication | None
    forwarded: ForwardedHeaders
    has_users: Callable[[], Awaitable[bool]]
    anyone: Rights
    local: Rights
    word: tuple[Word, Rights] | None

    async def may(self, action: AccessAction, request: web.BaseRequest) -> Operator:
        """Identify the sender of a request and check their right in at least one repository. The body is not read.

        Raises:
            Unauthorized: the login is wrong or missing.
            TooManyRequests: the client's address sent too many wrong passwords.
            Denied: the sender may not do this, and a login would not help.
        """
        operator = await self._sender(action, request)
        if operator.rights.spans(action):
            return operator
        if action is AccessAction.OPERATE and self.authentication and not self.authentication.takes_passwords:
            # No challenge, because no token would help.
            raise Denied(
                "operate needs a client certificate with this right by a rule under access: in the configuration; no "
                "token of the token issuer allows it",
                action=action.value,
            )
        raise await self._refusal(operator, action, request)

    async def _sender(self, action: AccessAction, request: web.BaseRequest) -> Operator:
        authorization = request.headers.get(hdrs.AUTHORIZATION)
        if authorization is not None:
            # Before authentication, which would refuse the token of admission.token_file as an unknown one.
            by_word = await self._by_word(action, authorization)
            if by_word is not None:
                return Operator(None, by_word)
            if self.authentication is not None:
                try:
                    caller = await self.authentication.caller(request, authorization)
                except Unauthorized as error:
                    raise self.authentication.challenged(error, request) from error
                if caller is not None:
                    return Operator(caller.name, caller.rights, caller.has_login)
        client = request.get(CLIENT_CERTIFICATE)
        if client is not None and client.rights.spans(action):
            return Operator(client.name, client.rights)
        if self.forwarded.is_direct(request) and not await self.has_users():
            return Operator(None, self.local)
        return Operator(None, self.anyone) if client is None else Operator(client.name, client.rights)

    async def _by_word(self, action: AccessAction, authorization: str) -> Rights | None:
        given = Authorization.parse(authorization)
        if self.word is None or given.scheme != "bearer":
            return None
        is_word, rights = self.word
        if not rights.spans(action):  # then the header is for users alone, and no file is read
            return None
        try:
            await is_word(given.credentials)
        except Denied:
            return None
        return rights

    async def _refusal(self, operator: Operator, action: AccessAction, request: web.BaseRequest) -> MirrorError:
        if operator.has_login:
            return operator.rights.refusal(action, None)
        by_word = self.word is not None and bool(self.word[1].spans(action))
        header = "the header 'Authorization: Bearer TOKEN' with the token in admission.token_file"
        if self.authentication is not None and await self.has_users():
            also = f", or {header}" if by_word else ""
            what = "the login of a user with this right, sent as Basic"
            if not self.authentication.takes_passwords:
                what = "a bearer token of the token issuer, for a user with this right"
            return self.authentication.challenged(Unauthorized(f"{action.value} needs {what}{also}"), request)
        if by_word:
            return Denied(f"this needs {header}")
        if operator.name is not None:
            return operator.rights.refusal(action, None)
        if self.local.spans(action) and not await self.has_users():
            return Denied(
                f"without users, {action.value} is limited to programs on the server's own machine, and this request "
                "came through a proxy, to another host name, or from a web page; fix: use http://127.0.0.1 directly",
                action=action.value,
            )
        return self.anyone.refusal(action, None)
