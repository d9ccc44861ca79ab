"""The section ``access``: rights of users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mirror.access.caller_names import CLIENT_PREFIX
from mirror.access.rights import AccessAction
from mirror.settings.access_values import GROUP_PREFIX, check_caller, not_empty, parse_actions
from mirror.settings.section import Section
from mirror.settings.section_values import RepositoryPattern

if TYPE_CHECKING:  # imported where rules are built, because many commands have none
    from mirror.access.rules import AccessRule


class AccessSettings(Section):
    """A rule that gives some users some actions on some repositories."""

    users: Annotated[tuple[Annotated[str, AfterValidator(check_caller)], ...], AfterValidator(not_empty)] = Field(
        description="names of users; '*' means every user, and group:NAME the members of a group under groups:. "
        "cert:CN=NAME, cert:DNS=NAME, cert:URI=NAME, cert:EMAIL=NAME and cert:SHA256=HEX name clients with a "
        "certificate from server.tls.client_ca; * in NAME matches any characters, and cert:* means every such client"
    )
    repositories: Annotated[tuple[RepositoryPattern, ...], AfterValidator(not_empty)] = Field(
        description="names of repositories; * matches one component, ** matches the rest"
    )
    actions: Annotated[tuple[AccessAction, ...], BeforeValidator(parse_actions), AfterValidator(not_empty)] = Field(
        description="allowed actions: pull, push, delete; approve: approve and reject plugins; operate: list the "
        "hosts that pull plugins from the whole server, which needs '**'"
    )

    @model_validator(mode="after")
    def _operates_the_whole_server(self) -> Self:
        if AccessAction.OPERATE in self.actions and "**" not in self.repositories:
            raise ValueError("operate covers the whole server, not some repositories; fix: write repositories: ['**']")
        return self

    def rule(self, number: int, groups: Mapping[str, Sequence[str]]) -> AccessRule:
        """Return the access rule that this section describes.

        Args:
            number: place of the section under ``access:``, from 1.
            groups: members of each group that the rule names, by the name of the group.
        """
        from mirror.access.certificates.client_identity import IdentityPattern
        from mirror.access.rules import AccessRule
        from mirror.oci.name_mapping import NameMapping

        names = [name for entry in self.users for name in _members(entry, groups)]
        certificates = dict.fromkeys(name for name in names if name.startswith(CLIENT_PREFIX))
        return AccessRule(
            frozenset(names) - certificates.keys(),
            tuple(NameMapping(pattern, pattern) for pattern in self.repositories),
            frozenset(self.actions),
            tuple(map(IdentityPattern.parse, certificates)),
            f"access: rule {number}",
        )

    @property
    def groups(self) -> list[str]:
        """Names of the groups among ``users``."""
        return [name.removeprefix(GROUP_PREFIX) for name in self.users if name.startswith(GROUP_PREFIX)]


def _members(entry: str, groups: Mapping[str, Sequence[str]]) -> Sequence[str]:
    return groups[entry.removeprefix(GROUP_PREFIX)] if entry.startswith(GROUP_PREFIX) else [entry]
