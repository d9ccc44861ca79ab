"""Rights that access rules grant to users."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mirror.access.rights import AccessAction
from mirror.access.rules import AccessRule, TokenRights, UserRights
from mirror.access.token_signing import Grant
from mirror.filters.authorize import AnonymousRights
from mirror.oci import Repository
from mirror.oci.errors import RightMissing, Unsupported
from mirror.oci.name_mapping import NameMapping

PULL, PUSH, DELETE = AccessAction.PULL, AccessAction.PUSH, AccessAction.DELETE
NOBODY, READERS = AnonymousRights(frozenset()), AnonymousRights(frozenset({PULL}))


def rule(users: str, repositories: str, *actions: AccessAction) -> AccessRule:
    patterns = tuple(NameMapping(pattern, pattern) for pattern in repositories.split())
    return AccessRule(frozenset(users.split()), patterns, frozenset(actions))


RULES = [
    rule("anna bob", "acme/** shared/*", PULL, PUSH),
    rule("anna", "acme/driver", DELETE),
    rule("*", "public/**", PULL),
    rule("root", "**", PULL, PUSH, DELETE),
]


@pytest.mark.parametrize(
    ("user", "action", "name", "allowed"),
    [
        ("anna", PUSH, "acme/driver", True),
        ("anna", PUSH, "acme/a/b", True),
        ("anna", PUSH, "acme", False),
        ("anna", PUSH, "acmeter/x", False),
        ("anna", PUSH, "shared/a", True),
        ("anna", PUSH, "shared/a/b", False),
        ("anna", DELETE, "acme/driver", True),
        ("anna", DELETE, "acme/other", False),
        ("bob", DELETE, "acme/driver", False),
        ("eve", PUSH, "acme/driver", False),
        ("eve", PULL, "public/x", True),
        ("eve", PULL, "acme/driver", False),
        ("root", DELETE, "any/thing", True),
        ("root", PULL, None, True),
        ("anna", PULL, None, False),
    ],
)
def test_the_union_of_what_rules_say(user: str, action: AccessAction, name: str | None, allowed: bool) -> None:
    rights = UserRights.of(user, RULES, NOBODY)
    assert rights.allows(action, None if name is None else Repository(name)) is allowed


def test_the_audit_names_what_allows() -> None:
    first, second = (replace(each, basis=f"access: rule {n}") for n, each in enumerate(RULES[:2], 1))
    anna, driver = UserRights.of("anna", [first, second], READERS), Repository("acme/driver")
    wanted = {PULL: "server.anonymous", PUSH: "access: rule 1", DELETE: "access: rule 2"}
    assert {action: anna.basis(action, driver) for action in wanted} == wanted
    granted = TokenRights(anna, READERS, Grant("anna", "", {"acme/driver": frozenset({"push"})}))
    assert granted.basis(PUSH, driver) == "access: rule 1"


def test_a_user_without_a_rule_may_do_what_anyone_may() -> None:
    rights = UserRights.of("eve", [], READERS)
    assert [action for action in AccessAction if rights.allows(action, Repository("a"))] == [PULL]


def test_a_refusal_says_who_may_not_do_what() -> None:
    error = UserRights.of("eve", RULES, NOBODY).refusal(PUSH, Repository("acme/driver"))
    assert isinstance(error, RightMissing)
    assert str(error).startswith("eve may not push acme/driver")
    assert error.detail == {"name": "acme/driver", "action": "push"}


@pytest.mark.parametrize(
    ("granted", "action", "name", "allowed"),
    [
        ({"acme/driver": {"pull", "push"}}, PUSH, "acme/driver", True),
        ({"acme/driver": {"pull"}}, PUSH, "acme/driver", False),
        ({"acme/driver": {"pull"}}, PULL, "acme/other", False),
        ({"other/x": {"push"}}, PUSH, "other/x", False),  # a right that was revoked meanwhile
        ({}, PULL, "acme/driver", False),
        ({"acme/driver": {"pull"}}, PULL, None, False),
    ],
)
def test_a_token_is_good_for_what_it_says_as_far_as_its_user_still_may(
    granted: dict[str, set[str]], action: AccessAction, name: str | None, allowed: bool
) -> None:
    grant = Grant("anna", "", {each: frozenset(actions) for each, actions in granted.items()})
    rights = TokenRights(UserRights.of("anna", RULES, NOBODY), NOBODY, grant)
    assert rights.allows(action, None if name is None else Repository(name)) is allowed


def test_a_token_takes_nothing_away_of_what_anyone_may() -> None:
    rights = TokenRights(UserRights.of("anna", RULES, READERS), READERS, Grant("anna"))
    assert rights.allows(PULL, Repository("b"))
    assert not rights.allows(PUSH, Repository("acme/driver"))


@pytest.mark.parametrize("catalog", [True, False])
def test_lists_want_a_token_for_the_catalog(catalog: bool) -> None:
    anyone = AnonymousRights(frozenset(), frozenset({PULL}))
    rights = TokenRights(UserRights.of("anna", RULES, anyone), anyone, Grant("anna", catalog=catalog))
    assert (rights.listing is not None) is catalog


def test_deleting_is_switched_off_only_where_nobody_may() -> None:
    assert isinstance(UserRights.of("anna", [], NOBODY).refusal(DELETE, Repository("a")), Unsupported)
    assert isinstance(NOBODY.refusal(DELETE, Repository("a")), Unsupported)
    refusal = AnonymousRights(frozenset(), frozenset({DELETE})).refusal(DELETE, Repository("a"))
    assert isinstance(refusal, RightMissing)


def test_what_is_of_the_whole_server_is_refused_without_a_name() -> None:
    error = UserRights.of("eve", RULES, READERS).refusal(AccessAction.OPERATE, None)
    assert str(error) == "eve may not operate; fix: add a rule under access: in the configuration"
    assert error.detail == {"action": "operate"}
