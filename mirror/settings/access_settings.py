"""What users may do."""

from __future__ import annotations

from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mirror.access.rights import USERS_ONLY, AccessAction
from mirror.access.rules import EVERY_USER, AccessRule
from mirror.oci.errors import NameInvalid
from mirror.oci.name_mapping import NameMapping
from mirror.records.users import parse_user_name
from mirror.settings.pull_through_settings import check_pattern
from mirror.settings.section import Section

Item = TypeVar("Item")


def parse_actions(value: object) -> object:
    """Actions as a list, also where they are written as ``pull,push``."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


def check_anonymous(actions: tuple[AccessAction, ...] | None) -> tuple[AccessAction, ...] | None:
    """Actions that callers without a login may have."""
    if given := [action.value for action in actions or () if action in USERS_ONLY]:
        raise ValueError(
            f"{given[0]} is never given to callers without a login: make a user, and a rule under access: that gives it"
        )
    return actions


def _some(listed: tuple[Item, ...]) -> tuple[Item, ...]:
    if not listed:
        raise ValueError("at least one is wanted")
    return listed


def _check_user(name: str) -> str:
    if name == EVERY_USER:
        return name
    try:
        return parse_user_name(name)
    except NameInvalid as error:
        raise ValueError(str(error)) from error


class AccessSettings(Section):
    """A rule: some users may do something with some repositories."""

    users: Annotated[tuple[Annotated[str, AfterValidator(_check_user)], ...], AfterValidator(_some)] = Field(
        description="names of users; '*' is every user"
    )
    repositories: Annotated[tuple[Annotated[str, AfterValidator(check_pattern)], ...], AfterValidator(_some)] = Field(
        description="names of repositories, with * for one component and ** for the rest"
    )
    actions: Annotated[tuple[AccessAction, ...], BeforeValidator(parse_actions), AfterValidator(_some)] = Field(
        description="what they may do: pull, push, delete; approve: decide about plugins that admission holds or keeps "
        "out; operate: see which hosts pull plugins, which is of the whole server and needs '**'"
    )

    @model_validator(mode="after")
    def _operates_the_whole_server(self) -> Self:
        if AccessAction.OPERATE in self.actions and "**" not in self.repositories:
            raise ValueError("operate is of the whole server, not of some repositories: it needs repositories: ['**']")
        return self

    def rule(self) -> AccessRule:
        """The rule."""
        patterns = tuple(NameMapping(pattern, pattern) for pattern in self.repositories)
        return AccessRule(frozenset(self.users), patterns, frozenset(self.actions))
