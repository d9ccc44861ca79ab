"""Access control of a serving process: identification of callers, and their rights."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from mirror.access.certificate_callers import CertificateCallers
from mirror.access.certificates.client_certificates import ClientCertificates
from mirror.access.issuer.issued_tokens import ISSUED_ACTIONS, IssuedTokens
from mirror.access.issuer.issuer_callers import IssuerCallers
from mirror.access.issuer.issuer_metrics import key_fetch_counter
from mirror.access.login_metrics import login_counter
from mirror.access.logins import Logins
from mirror.access.passwords import PasswordChecks
from mirror.access.rights import USERS_ONLY, AccessAction, Rights
from mirror.access.token_signing import SERVICE
from mirror.access.user_callers import UserCallers
from mirror.app.issuer_keys import issuer_keys
from mirror.filters.authorize import AnonymousRights
from mirror.registry.port import Registry
from mirror.runtime.clock import SystemClock
from mirror.runtime.metrics.shared_metrics import WorkerSlot
from mirror.server.api.approval_token import ApprovalToken
from mirror.server.api.operators import Operators
from mirror.server.authentication import Authentication
from mirror.server.connection_callers import ConnectionCallers
from mirror.server.forwarded import ForwardedHeaders, TrustedProxies
from mirror.settings import Settings
from mirror.store.registry import Store

_CLOCK = SystemClock()


def anonymous_rights(settings: Settings) -> AnonymousRights:
    """Return the rights of callers without a login and without a certificate."""
    # An action that some user or client may perform is refused as a missing right, and not as switched off.
    rules = settings.access_rules
    users_may = frozenset(action for rule in rules if rule.users for action in rule.actions) - USERS_ONLY
    clients_may = frozenset(action for rule in rules if rule.is_for_clients for action in rule.actions)
    if settings.server.token_issuer is not None:
        users_may = ISSUED_ACTIONS
    return AnonymousRights(
        settings.server.anonymous_actions,
        users_may if settings.server.logins else frozenset(),
        clients_may if settings.client_ca is not None else frozenset(),
    )


@asynccontextmanager
async def authenticating(
    settings: Settings, store: Store, seen_by: Callable[[Rights, str | None], Registry], slot: WorkerSlot
) -> AsyncIterator[Authentication | None]:
    """Yield the part of a server that identifies callers; None if logins are switched off.

    With a token issuer, the users and access tokens of the store have no meaning.

    Args:
        settings: access rules, and the addresses of the server.
        store: store of users and access tokens.
        seen_by: function that returns the registry as a caller with the given rights and user name sees it.
        slot: shared memory in which logins, and fetches of keys, are counted.

    Raises:
        StorageFault, StorageDamaged: the signing key of tokens cannot be read or created.
        ConfigurationFault: the file with the keys of the token issuer is unusable.
    """
    if not settings.server.logins:
        yield None
        return
    by_certificate, issuer = settings.client_ca is not None, settings.server.token_issuer
    if issuer is not None:
        async with issuer_keys(issuer, _CLOCK, key_fetch_counter(slot)) as keys:
            tokens = IssuedTokens(keys, issuer.issuer, issuer.service, _CLOCK)
            yield Authentication(
                IssuerCallers(tokens, issuer.realm, settings.access_rules, anonymous_rights(settings), seen_by),
                issuer.service,
                forwarded_headers(settings),
                by_certificate=by_certificate,
                issuer=issuer.realm,
            )
        return
    async with PasswordChecks() as checks:
        callers = UserCallers(
            store.records.users,
            Logins(store.records.users, checks, _CLOCK, login_counter(slot)),
            rules=settings.access_rules,
            anyone=anonymous_rights(settings),
            seen_by=seen_by,
            key=await store.token_key(),
            clock=_CLOCK,
        )
        yield Authentication(callers, SERVICE, forwarded_headers(settings), by_certificate=by_certificate)


def connection_callers(
    settings: Settings, seen_by: Callable[[Rights, str | None], Registry]
) -> ConnectionCallers | None:
    """Return the part of a server that identifies callers by client certificates; None without ``client_ca``.

    Args:
        settings: access rules, the files of the CAs, and the addresses of the server.
        seen_by: see :func:`authenticating`.

    Raises:
        ConfigurationFault: a file is unusable.
    """
    tls = settings.server.tls
    if tls is None or tls.client_ca is None:
        return None
    certificates = ClientCertificates(tls.client_ca, tls.client_crl, _CLOCK)
    callers = CertificateCallers(certificates, settings.access_rules, anonymous_rights(settings), seen_by)
    return ConnectionCallers(callers, forwarded_headers(settings))


def forwarded_headers(settings: Settings) -> ForwardedHeaders:
    """Return the reader of the server's address as its clients see it, with and without a proxy in between."""
    server = settings.server
    return ForwardedHeaders(server.url, TrustedProxies(server.trusted_proxies, everyone=server.behind_proxy))


async def _always() -> bool:
    return True


def operators(settings: Settings, store: Store, authentication: Authentication | None) -> Operators:
    """Return the part of a server that decides who may approve plugins and list hosts.

    Args:
        settings: access rules, and the addresses of the server.
        store: store of users.
        authentication: identification of users; None if logins are switched off.

    Raises:
        ConfigurationFault: the file ``admission.token_file`` cannot be read, or its token is too short.
    """
    token_file = settings.admission.token_file
    word = None if token_file is None else ApprovalToken(token_file).require
    by_word = frozenset({AccessAction.APPROVE})
    # Programs on the machine of a server on loopback have its command line and data as well, so they get these rights
    # while there are no users. With a token file, approving always requires the token.
    local = frozenset() if not settings.server.is_local else USERS_ONLY - (by_word if word else frozenset())
    return Operators(
        authentication,
        forwarded_headers(settings),
        store.records.users.has_users if settings.server.token_issuer is None else _always,
        anyone=anonymous_rights(settings),
        local=AnonymousRights(local, allowed_by="a program on this machine"),
        word=None if word is None else (word, AnonymousRights(by_word, allowed_by="admission.token_file")),
    )
