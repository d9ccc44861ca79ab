"""Rights under ``/api/v1`` that are not about content: to decide about plugins, and to see the hosts that pull them.

``docs/ACCESS.md`` has the table of cases.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import hdrs, web

from mirror.access.rights import AccessAction, Rights
from mirror.oci import Repository
from mirror.oci.errors import Denied, MirrorError, Unauthorized
from mirror.server.authentication import Authentication
from mirror.server.forwarded import ForwardedHeaders
from mirror.wire.auth.authorization import Authorization

#: Raises Denied for any other word than the right one.
Word: TypeAlias = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody, for the length of a request.

    Attributes:
        name: of the user; None for nobody in particular.
        rights: what they may do.
    """

    name: str | None
    rights: Rights

    def require(self, action: AccessAction, repository: Repository | None = None) -> None:
        """See that they may do this.

        Raises:
            RightMissing: they may not.
        """
        if not self.rights.allows(action, repository):
            raise self.rights.refusal(action, repository)


@dataclass(frozen=True, slots=True)
class Operators:
    """Tells who sends a request, and what they may do.

    Attributes:
        authentication: tells users apart; None where nobody may log in.
        forwarded: how the server is reached.
        has_users: whether there are users.
        anyone: what callers without a login may do.
        local: what programs on the server's own machine may do as long as there are no users.
        word: knows a word that stands for a login, and what it gives a right to; None where there is none.
    """

    authentication: Authentication | None
    forwarded: ForwardedHeaders
    has_users: Callable[[], Awaitable[bool]]
    anyone: Rights
    local: Rights
    word: tuple[Word, Rights] | None

    async def may(self, action: AccessAction, request: web.BaseRequest) -> Operator:
        """Tell who sends a request. Nothing of its body is read.

        Raises:
            Unauthorized: a login is wrong, or is needed. TooManyRequests: too many guesses from there.
            Denied: there is nothing that they may do this with.
        """
        operator = await self._sender(action, request)
        if operator.rights.spans(action):
            return operator
        raise await self._refusal(operator, action, request)

    async def _sender(self, action: AccessAction, request: web.BaseRequest) -> Operator:
        authorization = request.headers.get(hdrs.AUTHORIZATION)
        if authorization is not None:
            by_word = await self._by_word(action, authorization)
            if by_word is not None:
                return Operator(None, by_word)
            if self.authentication is not None:
                try:
                    caller = await self.authentication.caller(request, authorization)
                except Unauthorized as error:
                    raise self.authentication.challenged(error, request) from error
                if caller is not None:
                    return Operator(caller.name, caller.rights)
        if self.forwarded.is_direct(request) and not await self.has_users():
            return Operator(None, self.local)
        return Operator(None, self.anyone)

    async def _by_word(self, action: AccessAction, authorization: str) -> Rights | None:
        given = Authorization.parse(authorization)
        if self.word is None or given.scheme != "bearer":
            return None
        is_word, rights = self.word
        if not rights.spans(action):
            return None
        try:
            await is_word(given.credentials)
        except Denied:
            return None
        return rights

    async def _refusal(self, operator: Operator, action: AccessAction, request: web.BaseRequest) -> MirrorError:
        if operator.name is not None:
            return operator.rights.refusal(action, None)
        by_word = self.word is not None and bool(self.word[1].spans(action))
        header = "the header 'Authorization: Bearer WORD', with the word of admission.token_file"
        if self.authentication is not None and await self.has_users():
            also = f", or {header}" if by_word else ""
            needed = Unauthorized(f"{action.value} needs the login of a user who may, as Basic{also}")
            return self.authentication.challenged(needed, request)
        if by_word:
            return Denied(f"this needs {header}")
        if self.local.spans(action) and not await self.has_users():
            return Denied(
                f"{action.value} is for programs on the server's own machine that ask http://127.0.0.1 themselves, as "
                "long as there are no users: this request came through a proxy, by another name, or from a web page",
                action=action.value,
            )
        return self.anyone.refusal(action, None)
