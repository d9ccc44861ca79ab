"""Access rules of the configuration, and the rights that follow from them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirror.access.caller_names import EVERY_USER
from mirror.access.certificates.client_identity import ClientIdentity, IdentityPattern
from mirror.access.rights import AccessAction, Rights, detail, phrase
from mirror.oci import Repository
from mirror.oci.errors import MirrorError, RightMissing
from mirror.oci.name_mapping import NameMapping
from mirror.oci.name_pattern import NameSpan

if TYPE_CHECKING:
    # Importing JSON Web Tokens takes a tenth of the time that a command needs to start.
    from mirror.access.token_signing import Grant


@dataclass(frozen=True, slots=True)
class AccessRule:
    """Rule that allows some users and clients with certificates some actions on some repositories.

    Attributes:
        users: user names; :data:`EVERY_USER` includes every user, and every client with a certificate.
        repositories: patterns of repository names. Each mapping maps a name to itself.
        actions: allowed actions.
        certificates: patterns of names in client certificates.
        basis: the rule in the audit: ``access: rule 2``.
    """

    users: frozenset[str]
    repositories: tuple[NameMapping, ...]
    actions: frozenset[AccessAction]
    certificates: tuple[IdentityPattern, ...] = ()
    basis: str = "access"

    def speaks_of(self, user: str) -> bool:
        """Return True if the rule applies to the user."""
        return user in self.users or EVERY_USER in self.users

    @property
    def is_for_clients(self) -> bool:
        """True if the rule applies to some client with a certificate."""
        return EVERY_USER in self.users or bool(self.certificates)

    def speaks_of_client(self, identity: ClientIdentity) -> bool:
        """Return True if the rule applies to a client with a certificate."""
        return EVERY_USER in self.users or any(pattern.matches(identity) for pattern in self.certificates)

    def holds(self, repository: Repository | None) -> bool:
        """Return True if the rule applies to the repository, or to every repository for None."""
        if repository is None:
            return any(pattern.source == "**" for pattern in self.repositories)
        return any(pattern.covers(repository) for pattern in self.repositories)

    def allows(self, action: AccessAction, repository: Repository | None) -> bool:
        """Return True if the rule allows the action on the repository, or on every repository for None."""
        return action in self.actions and self.holds(repository)


@dataclass(frozen=True, slots=True)
class UserRights:
    """Rights of a user, or of a client with a certificate: what any rule allows, and what everyone may do.

    Attributes:
        user: user name, or the name of the client: ``cert:CN=host-12``.
        rules: rules that apply to the user or client.
        anyone: rights of every caller on the connection: those of anonymous callers, or of the client's certificate.
    """

    user: str
    rules: tuple[AccessRule, ...]
    anyone: Rights

    @classmethod
    def of(cls, user: str, rules: Sequence[AccessRule], anyone: Rights) -> UserRights:
        """Return the rights of a user, given all rules."""
        return cls(user, tuple(rule for rule in rules if rule.speaks_of(user)), anyone)

    @classmethod
    def of_client(cls, identity: ClientIdentity, rules: Sequence[AccessRule], anyone: Rights) -> UserRights:
        """Return the rights of a client with a certificate, given all rules."""
        return cls(identity.name, tuple(rule for rule in rules if rule.speaks_of_client(identity)), anyone)

    def allows(self, action: AccessAction, repository: Repository | None) -> bool:
        return self.anyone.allows(action, repository) or self.deciding(action, repository) is not None

    def deciding(self, action: AccessAction, repository: Repository | None) -> AccessRule | None:
        """Return the first rule that allows the action; None if no rule does."""
        return next((rule for rule in self.rules if rule.allows(action, repository)), None)

    def basis(self, action: AccessAction, repository: Repository | None) -> str:
        rule = None if self.anyone.allows(action, repository) else self.deciding(action, repository)
        return self.anyone.basis(action, repository) if rule is None else rule.basis

    def spans(self, action: AccessAction) -> Sequence[NameSpan]:
        patterns = (pattern for rule in self.rules if action in rule.actions for pattern in rule.repositories)
        return [*self.anyone.spans(action), *(pattern.source_span for pattern in patterns)]

    @property
    def listing(self) -> Rights | None:
        return self

    def refusal(self, action: AccessAction, repository: Repository | None) -> MirrorError:
        anyones = self.anyone.refusal(action, repository)
        if not isinstance(anyones, RightMissing):
            return anyones  # the action is switched off for everyone, so no rule could allow it
        what = action.value if repository is None else f"{action.value} {repository}"
        return RightMissing(
            f"{self.user} may not {what}; fix: add a rule under access: in the configuration",
            **detail(action, repository),
        )


@dataclass(frozen=True, slots=True)
class TokenRights:
    """Rights of a caller who presents a bearer token.

    A token allows an action if its scopes include the action and its user may still perform the action. A caller with a
    token always has the rights of the connection too.

    Attributes:
        own: all rights of the token's user on the connection.
        anyone: rights of every caller on the connection, see :class:`UserRights`.
        grant: content of the token.
    """

    own: Rights
    anyone: Rights
    grant: Grant

    def allows(self, action: AccessAction, repository: Repository | None) -> bool:
        if self.anyone.allows(action, repository):
            return True
        # Rules may have changed since the token was signed: its scopes count only as far as the user's rights of now.
        granted = repository is not None and action.value in self.grant.actions(repository)
        return granted and self.own.allows(action, repository)

    def basis(self, action: AccessAction, repository: Repository | None) -> str:
        return self.own.basis(action, repository)

    def spans(self, action: AccessAction) -> Sequence[NameSpan]:
        return [*self.anyone.spans(action), *self.own.spans(action)]

    @property
    def listing(self) -> Rights | None:
        return self.own.listing if self.grant.catalog else self.anyone.listing

    def refusal(self, action: AccessAction, repository: Repository | None) -> MirrorError:
        if not self.own.allows(action, repository):
            return self.own.refusal(action, repository)
        instead = "request a token with this scope" if repository is not None else "log in with Basic authentication"
        return RightMissing(
            f"the token does not allow {phrase(action, repository)}; fix: {instead}", **detail(action, repository)
        )
