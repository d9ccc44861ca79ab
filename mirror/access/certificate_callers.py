"""Identification of callers by the certificates of their connections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from mirror.access.callers import Caller
from mirror.access.certificates.client_certificates import ClientCertificates
from mirror.access.certificates.client_identity import ClientIdentity
from mirror.access.rights import Rights
from mirror.access.rules import AccessRule, UserRights
from mirror.registry.port import Registry


class CertificateCallers:
    """Implements :class:`mirror.access.callers.CallersByCertificate` with the access rules.

    Args:
        certificates: identifies clients.
        rules: access rules of the configuration.
        anyone: rights of callers without a login and without a certificate.
        seen_by: function that returns the registry as a caller with the given rights and name sees it.
    """

    def __init__(
        self,
        certificates: ClientCertificates,
        rules: Sequence[AccessRule],
        anyone: Rights,
        seen_by: Callable[[Rights, str | None], Registry],
    ) -> None:
        self._certificates = certificates

        # Built once for each client, because every request of a client with a certificate needs it.
        @lru_cache(maxsize=4096)
        def caller_of(identity: ClientIdentity) -> Caller:
            rights = UserRights.of_client(identity, rules, anyone)
            return Caller(identity.name, seen_by(rights, identity.name), rights, rights)

        self._caller_of = caller_of

    async def by_certificate(self, der: bytes) -> Caller:
        return self._caller_of(await self._certificates.identity(der))
