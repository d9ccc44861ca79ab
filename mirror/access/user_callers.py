"""Identification of callers by bearer token or login."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mirror.access import token_signing
from mirror.access.callers import Caller, Granted
from mirror.access.logins import Identity, Logins
from mirror.access.rights import USERS_ONLY, AccessAction, Rights
from mirror.access.rules import AccessRule, TokenRights, UserRights
from mirror.access.token_signing import Grant
from mirror.oci import Repository
from mirror.oci.errors import Unauthorized
from mirror.records.users import Users
from mirror.registry.port import Registry
from mirror.runtime.clock import Clock
from mirror.wire.auth.basic_auth import Login
from mirror.wire.auth.scopes import CATALOG, Scope


@dataclass(frozen=True, slots=True)
class UserCallers:
    """Implements :class:`mirror.access.callers.Callers` with the users of the store.

    Attributes:
        users: port that finds users.
        logins: verification of logins.
        rules: access rules of the configuration.
        anyone: rights of callers without a login and without a certificate.
        seen_by: function that returns the registry as a caller with the given rights and user name sees it.
        key: signing key of 32 bytes, the same in every process.
        clock: source of the time.
    """

    users: Users
    logins: Logins
    rules: Sequence[AccessRule]
    anyone: Rights
    seen_by: Callable[[Rights, str | None], Registry]
    key: bytes = field(repr=False)
    clock: Clock

    async def known(self) -> bool:
        return await self.users.has_users()

    async def by_token(self, token: str, client: Caller | None = None) -> Caller:
        grant = token_signing.read(self.key, token, self.clock)
        if grant.user and not await self.logins.is_good(Identity(grant.user, grant.proof)):
            # A changed password or a revoked access token ends the bearer tokens that were issued for it.
            raise Unauthorized(
                "the password or access token of this bearer token is no longer valid; fix: log in again",
                error="invalid_token",
            )
        own = self._own_rights(grant.user, client)
        rights = TokenRights(own, self._rights_of_anyone(client), grant)
        name = grant.user or (None if client is None else client.name)
        return Caller(name, self.seen_by(rights, name), rights, own, has_login=bool(grant.user), proof=grant.proof)

    async def by_login(self, login: Login, address: str, client: Caller | None = None) -> Caller:
        identity = await self.logins.identify(login, address)
        own = self._own_rights(identity.user, client)
        return Caller(identity.user, self.seen_by(own, identity.user), own, own, has_login=True, proof=identity.proof)

    async def grant(
        self,
        scopes: Sequence[Scope],
        address: str,
        login: Login | None,
        identity_token: str | None,
        client: Caller | None = None,
    ) -> Granted:
        identity = Identity("", "")
        if identity_token is not None:
            identity = await self.logins.identify_secret(identity_token, address)
        elif login is not None:
            identity = await self.logins.identify(login, address)
        own = self._own_rights(identity.user, client)
        catalog = any((scope.kind, scope.name) == (CATALOG.kind, CATALOG.name) for scope in scopes)
        grant = Grant(identity.user, identity.proof, _granted(scopes, own), catalog)
        token = token_signing.sign(self.key, grant, self.clock)
        return Granted(token, token_signing.LIFETIME_SECONDS, self.clock.now(), identity.user or None)

    def _own_rights(self, user: str, client: Caller | None) -> Rights:
        anyone = self._rights_of_anyone(client)
        return UserRights.of(user, self.rules, anyone) if user else anyone

    def _rights_of_anyone(self, client: Caller | None) -> Rights:
        return self.anyone if client is None else client.rights


def _granted(scopes: Sequence[Scope], rights: Rights) -> dict[str, frozenset[str]]:
    """Return the requested actions, by repository name, that the rights allow."""
    granted: dict[str, frozenset[str]] = {}
    for scope in scopes:
        repository = scope.repository
        if repository is not None:
            had = granted.get(repository.name, frozenset())
            granted[repository.name] = had | _allowed(scope.actions, repository, rights)
    return granted


def _allowed(actions: Sequence[str], repository: Repository, rights: Rights) -> frozenset[str]:
    """Return the requested actions that a token may allow.

    ``*`` does not include ``approve``, which must be requested by name. A token never allows ``operate``.
    """
    # Clients request ``*`` to delete content. A token for that must not decide about plugins.
    asked = [
        action for action in AccessAction if action.value in actions or ("*" in actions and action not in USERS_ONLY)
    ]
    return frozenset(
        action.value for action in asked if action is not AccessAction.OPERATE and rights.allows(action, repository)
    )
