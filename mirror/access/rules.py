"""What users may do, as the configuration says it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mirror.access.rights import AccessAction, Rights, detail, phrase
from mirror.access.token_signing import Grant
from mirror.oci import Repository
from mirror.oci.errors import MirrorError, RightMissing
from mirror.oci.name_mapping import NameMapping
from mirror.oci.name_pattern import NameSpan

#: In place of a user's name: every user.
EVERY_USER = "*"


@dataclass(frozen=True, slots=True)
class AccessRule:
    """Some users may do something with some repositories.

    Attributes:
        users: their names; :data:`EVERY_USER` for all.
        repositories: patterns of names; each maps a name that it holds to itself.
        actions: what they may do.
    """

    users: frozenset[str]
    repositories: tuple[NameMapping, ...]
    actions: frozenset[AccessAction]

    def speaks_of(self, user: str) -> bool:
        """Whether the rule is for that user."""
        return user in self.users or EVERY_USER in self.users

    def holds(self, repository: Repository | None) -> bool:
        """Whether the rule is for the repository; with None, for every one."""
        if repository is None:
            return any(pattern.source == "**" for pattern in self.repositories)
        return any(pattern.covers(repository) for pattern in self.repositories)


@dataclass(frozen=True, slots=True)
class UserRights:
    """What a user may do: what any rule says, and what anyone may do.

    Attributes:
        user: their name.
        rules: those that are for them.
        anyone: what callers without a login may do.
    """

    user: str
    rules: tuple[AccessRule, ...]
    anyone: Rights

    @classmethod
    def of(cls, user: str, rules: Sequence[AccessRule], anyone: Rights) -> UserRights:
        """The rights of a user out of all rules."""
        return cls(user, tuple(rule for rule in rules if rule.speaks_of(user)), anyone)

    def allows(self, action: AccessAction, repository: Repository | None) -> bool:
        return self.anyone.allows(action, repository) or any(
            action in rule.actions and rule.holds(repository) for rule in self.rules
        )

    def spans(self, action: AccessAction) -> Sequence[NameSpan]:
        patterns = (pattern for rule in self.rules if action in rule.actions for pattern in rule.repositories)
        return [*self.anyone.spans(action), *(pattern.source_span for pattern in patterns)]

    @property
    def listing(self) -> Rights | None:
        return self

    def refusal(self, action: AccessAction, repository: Repository | None) -> MirrorError:
        anyones = self.anyone.refusal(action, repository)
        if not isinstance(anyones, RightMissing):
            return anyones  # nobody may: it is switched off
        what = action.value if repository is None else f"{action.value} {repository}"
        return RightMissing(
            f"{self.user} may not {what}; rules under access: in the configuration say who may",
            **detail(action, repository),
        )


@dataclass(frozen=True, slots=True)
class TokenRights:
    """What may be done with a token: what it is for, as far as who shows it may still do that; and what anyone may.

    Attributes:
        own: what who shows it may do in all.
        anyone: what callers without a login may do.
        grant: what the token is for.
    """

    own: Rights
    anyone: Rights
    grant: Grant

    def allows(self, action: AccessAction, repository: Repository | None) -> bool:
        if self.anyone.allows(action, repository):
            return True
        granted = repository is not None and action.value in self.grant.actions(repository)
        return granted and self.own.allows(action, repository)

    def spans(self, action: AccessAction) -> Sequence[NameSpan]:
        return [*self.anyone.spans(action), *self.own.spans(action)]

    @property
    def listing(self) -> Rights | None:
        return self.own.listing if self.grant.catalog else self.anyone.listing

    def refusal(self, action: AccessAction, repository: Repository | None) -> MirrorError:
        if not self.own.allows(action, repository):
            return self.own.refusal(action, repository)
        instead = "ask for one that is" if repository is not None else "send the login itself (Basic)"
        return RightMissing(
            f"the token is not for {phrase(action, repository)}: {instead}", **detail(action, repository)
        )
