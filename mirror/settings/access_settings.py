"""The sections ``access`` and ``groups``: rights of users."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Self, TypeAlias, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mirror.access.certificates.client_identity import PREFIX, IdentityPattern
from mirror.access.rights import USERS_ONLY, AccessAction
from mirror.access.rules import EVERY_USER, AccessRule
from mirror.oci.errors import NameInvalid
from mirror.oci.name_mapping import NameMapping
from mirror.records.users import parse_user_name
from mirror.settings.section import Section
from mirror.settings.section_values import RepositoryPattern

Item = TypeVar("Item")

#: Prefix of a group in the users of a rule. User names have no colon, so no user can be called like that.
GROUP_PREFIX: Final = "group:"
_GROUP_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def parse_actions(value: object) -> object:
    """Split actions that are written as one text, such as ``pull,push``. Return any other value unchanged."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


def check_anonymous(actions: tuple[AccessAction, ...] | None) -> tuple[AccessAction, ...] | None:
    """Return the actions of callers without a login.

    Raises:
        ValueError: an action is never given to callers without a login.
    """
    # Such a right in server.anonymous is a mistake, so the server does not start with it (ADR 21).
    if given := [action.value for action in actions or () if action in USERS_ONLY]:
        raise ValueError(
            f"{given[0]} is never given to callers without a login; fix: give it to a user, by a rule under access:"
        )
    return actions


def _some(listed: tuple[Item, ...]) -> tuple[Item, ...]:
    if not listed:
        raise ValueError("is empty; fix: add at least one entry")
    return listed


def check_user(name: str) -> str:
    """Return the name of a user, ``*`` for every user, or a pattern for certificates such as ``cert:CN=host-*``.

    Raises:
        ValueError: no user and no client can have this name.
    """
    # Neither an asterisk nor a colon is in the grammar of user names, so no user can be called like that.
    if name == EVERY_USER:
        return name
    try:
        return IdentityPattern.parse(name).text if name.startswith(PREFIX) else parse_user_name(name)
    except NameInvalid as error:
        raise ValueError(str(error)) from error


def _check_group_name(name: str) -> str:
    if not _GROUP_NAME.fullmatch(name):
        raise ValueError(
            "is not a group's name; fix: use at most 64 lower-case letters, digits and . _ -, and begin with a letter "
            "or digit"
        )
    return name


def _check_member(name: str) -> str:
    if name.startswith(GROUP_PREFIX):
        raise ValueError("a group has users and certificates as members, and no groups; fix: list the members of both")
    return check_user(name)


def _check_user_or_group(name: str) -> str:
    if not name.startswith(GROUP_PREFIX):
        return check_user(name)
    _check_group_name(name.removeprefix(GROUP_PREFIX))
    return name


#: Members of each group, by the name of the group.
Groups: TypeAlias = dict[
    Annotated[str, AfterValidator(_check_group_name)],
    Annotated[tuple[Annotated[str, AfterValidator(_check_member)], ...], AfterValidator(_some)],
]


class AccessSettings(Section):
    """A rule that gives some users some actions on some repositories."""

    users: Annotated[tuple[Annotated[str, AfterValidator(_check_user_or_group)], ...], AfterValidator(_some)] = Field(
        description="names of users; '*' means every user, and group:NAME the members of a group under groups:. "
        "cert:CN=NAME, cert:DNS=NAME, cert:URI=NAME, cert:EMAIL=NAME and cert:SHA256=HEX name clients with a "
        "certificate from server.tls.client_ca; * in NAME matches any characters, and cert:* means every such client"
    )
    repositories: Annotated[tuple[RepositoryPattern, ...], AfterValidator(_some)] = Field(
        description="names of repositories; * matches one component, ** matches the rest"
    )
    actions: Annotated[tuple[AccessAction, ...], BeforeValidator(parse_actions), AfterValidator(_some)] = Field(
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
        names = [name for entry in self.users for name in _members(entry, groups)]
        certificates = dict.fromkeys(name for name in names if name.startswith(PREFIX))
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
