"""Identification of callers by the tokens of a token issuer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mirror.access.callers import Caller, Granted
from mirror.access.issuer.issued_tokens import ISSUED_ACTIONS, IssuedTokens
from mirror.access.rights import Rights
from mirror.access.rules import AccessRule, TokenRights, UserRights
from mirror.oci.errors import NotFound, Unauthorized
from mirror.oci.name_mapping import NameMapping
from mirror.registry.port import Registry
from mirror.wire.auth.basic_auth import Login
from mirror.wire.auth.scopes import Scope

# What a token allows is allowed: the issuer has decided. The rule applies to holders of tokens only, and not by name.
_ISSUER_DECIDES: Final = AccessRule(
    frozenset(), (NameMapping("**", "**"),), ISSUED_ACTIONS, basis="server.token_issuer"
)


@dataclass(frozen=True, slots=True)
class IssuerCallers:
    """Implements :class:`mirror.access.callers.Callers` with the tokens of an issuer. Nobody logs in here.

    A token allows the actions on content that it names. ``approve`` needs a rule for the user besides, and a token
    never allows ``operate``.

    Attributes:
        tokens: verification of tokens.
        realm: URL at which clients request tokens.
        rules: access rules of the configuration.
        anyone: rights of callers without a token and without a certificate.
        seen_by: function that returns the registry as a caller with the given rights and user name sees it.
    """

    tokens: IssuedTokens
    realm: str
    rules: Sequence[AccessRule]
    anyone: Rights
    seen_by: Callable[[Rights, str | None], Registry]

    async def known(self) -> bool:
        return True

    async def by_token(self, token: str, client: Caller | None = None) -> Caller:
        grant = await self.tokens.read(token)
        anyone = self.anyone if client is None else client.rights
        rules = [rule for rule in self.rules if grant.user and rule.speaks_of(grant.user)]
        own = UserRights(grant.user or "a caller without a name", (_ISSUER_DECIDES, *rules), anyone)
        rights = TokenRights(own, anyone, grant)
        name = grant.user or (None if client is None else client.name)
        return Caller(name, self.seen_by(rights, name), rights, own, has_login=bool(grant.user), proof=grant.proof)

    async def by_login(self, login: Login, address: str, client: Caller | None = None) -> Caller:
        raise Unauthorized(f"this server takes no passwords; fix: send a bearer token from {self.realm}")

    async def grant(
        self,
        scopes: Sequence[Scope],
        address: str,
        login: Login | None,
        identity_token: str | None,
        client: Caller | None = None,
    ) -> Granted:
        raise NotFound(f"this server issues no tokens; fix: request one from {self.realm}")
