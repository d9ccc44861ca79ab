"""Logins with passwords and tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from mirror.access import passwords
from mirror.access.login_attempts import BURST
from mirror.access.login_metrics import LOGINS, LoginOutcome, login_counter
from mirror.access.logins import Logins, new_secret, secret_hash
from mirror.access.passwords import PasswordChecks
from mirror.access.rights import AccessAction
from mirror.access.rules import AccessRule
from mirror.access.user_callers import UserCallers
from mirror.filters.authorize import AnonymousRights, Authorize
from mirror.oci import Repository
from mirror.oci.errors import Busy, MirrorError, NameInvalid, TooManyRequests, Unauthorized
from mirror.oci.name_mapping import NameMapping
from mirror.records.users import User, UserToken
from mirror.registry.memory import MemoryRegistry
from mirror.runtime.metrics.shared_metrics import SharedMetrics
from mirror.wire.auth.basic_auth import Login
from mirror.wire.auth.scopes import parse_scopes
from tests.support.clocks import ShiftedClock

PASSWORD = "the pass:word"
WRONG = r"^user name or password is wrong, or the access token has expired or does not exist$"
HASH = passwords.hashed(PASSWORD)
HERE, THERE = "10.0.0.1", "10.0.0.2"
ACME = NameMapping("acme/*", "acme/*")
RULES = [AccessRule(frozenset({"anna"}), (ACME,), frozenset({AccessAction.PULL, AccessAction.PUSH}))]


@dataclass
class Known:
    """Users and tokens that a test sets; implements the port of the user records."""

    users: dict[str, User] = field(default_factory=dict)
    tokens: dict[str, UserToken] = field(default_factory=dict)

    async def has_users(self) -> bool:
        return bool(self.users)

    async def find_user(self, name: str) -> User | None:
        return self.users.get(name)

    async def find_token(self, token_id: str) -> UserToken | None:
        return next((token for token in self.tokens.values() if token.id == token_id), None)

    async def find_token_by_secret(self, secret_hash: str) -> UserToken | None:
        return self.tokens.get(secret_hash)


@dataclass
class World:
    known: Known
    clock: ShiftedClock
    logins: Logins
    callers: UserCallers
    checks: PasswordChecks
    shared_metrics: SharedMetrics
    secret: str

    def count(self, outcome: LoginOutcome) -> float:
        ((_, series),) = self.shared_metrics.sums()
        return dict(series)[(outcome.value,)][0]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock, secret, shared_metrics = ShiftedClock(), new_secret(), SharedMetrics((LOGINS,))
    token = UserToken("1a", "anna", "", clock.now(), clock.now() + timedelta(hours=1))
    known = Known({"anna": User("anna", HASH, clock.now())}, {secret_hash(secret): token})
    async with PasswordChecks() as checks:
        logins = Logins(known, checks, clock, login_counter(shared_metrics.slot()))
        callers = UserCallers(
            known,
            logins,
            rules=RULES,
            anyone=AnonymousRights(frozenset()),
            seen_by=lambda rights, _user: Authorize(MemoryRegistry(), rights),
            key=b"k" * 32,
            clock=clock,
        )
        yield World(known, clock, logins, callers, checks, shared_metrics, secret)


async def test_the_right_password(world: World) -> None:
    identity = await world.logins.identify(Login("anna", PASSWORD), HERE)
    assert identity.user == "anna"
    assert await world.logins.is_good(identity)


@pytest.mark.parametrize(
    ("username", "password"),
    [("anna", "wrong"), ("nobody", PASSWORD), ("", ""), ("anna", ""), ("anna", "x" * 5000), ("anna", PASSWORD + "\0")],
)
async def test_a_wrong_login_has_one_answer(world: World, username: str, password: str) -> None:
    with pytest.raises(Unauthorized, match=WRONG):
        await world.logins.identify(Login(username, password), HERE)
    assert world.count(LoginOutcome.WRONG) == 1


async def test_the_secret_of_a_token_is_a_password_of_its_user(world: World) -> None:
    assert (await world.logins.identify(Login("anna", world.secret), HERE)).user == "anna"
    assert (await world.logins.identify_secret(world.secret, HERE)).user == "anna"
    for login in (Login("bob", world.secret), Login("anna", new_secret())):
        with pytest.raises(Unauthorized):
            await world.logins.identify(login, HERE)
    assert (world.count(LoginOutcome.TOKEN), world.count(LoginOutcome.WRONG)) == (2, 2)


async def test_a_token_that_has_expired_is_wrong(world: World) -> None:
    identity = await world.logins.identify_secret(world.secret, HERE)
    world.clock.advance(seconds=3601)
    assert not await world.logins.is_good(identity)
    with pytest.raises(Unauthorized):
        await world.logins.identify_secret(world.secret, HERE)


async def test_guesses_are_held_up_where_they_come_from_and_nowhere_else(world: World) -> None:
    await world.logins.identify(Login("anna", PASSWORD), HERE)
    for _ in range(BURST):
        with pytest.raises(Unauthorized):
            await world.logins.identify_secret("pmt_guess", HERE)
    with pytest.raises(TooManyRequests) as refused:
        await world.logins.identify(Login("anna", "guess"), HERE)
    assert float(refused.value.detail["retry_after_seconds"]) > 0
    assert world.count(LoginOutcome.RATE_LIMITED) == 1
    # The user can still log in from another address, with a token, and with a password verified here before.
    assert (await world.logins.identify(Login("anna", PASSWORD), THERE)).user == "anna"
    assert (await world.logins.identify(Login("anna", world.secret), HERE)).user == "anna"
    assert (await world.logins.identify(Login("anna", PASSWORD), HERE)).user == "anna"


async def test_a_right_password_is_checked_once_in_a_while(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []

    def matches(password: str, password_hash: str | None) -> bool:
        checked.append(password)
        return password == PASSWORD

    monkeypatch.setattr(passwords, "matches", matches)
    await asyncio.gather(*(world.logins.identify(Login("anna", PASSWORD), HERE) for _ in range(50)))
    assert 1 <= len(checked) <= 2  # two are checked at a time
    checked.clear()
    world.clock.advance(seconds=301)
    await world.logins.identify(Login("anna", PASSWORD), HERE)
    assert len(checked) == 1


async def test_a_new_password_is_the_only_one_at_once(world: World) -> None:
    identity = await world.logins.identify(Login("anna", PASSWORD), HERE)
    world.known.users["anna"] = replace(world.known.users["anna"], password_hash=passwords.hashed("another word"))
    assert not await world.logins.is_good(identity)
    with pytest.raises(Unauthorized):
        await world.logins.identify(Login("anna", PASSWORD), HERE)


async def test_more_than_can_be_checked_are_sent_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "matches", lambda *_: False)
    attempts = [world.logins.identify(Login(f"user{number}", "x"), f"10.1.0.{number}") for number in range(200)]
    ended = await asyncio.gather(*attempts, return_exceptions=True)
    assert {type(error) for error in ended} == {Unauthorized, Busy}


async def test_who_does_not_exist_takes_as_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes: list[bytes] = []
    monkeypatch.setattr(passwords.bcrypt, "checkpw", lambda _, hashed: bool(hashes.append(hashed)))
    for name in ("anna", "nobody"):
        with pytest.raises(Unauthorized):
            await world.logins.identify(Login(name, "wrong"), HERE)
    assert len(hashes) == 2
    # The same algorithm and cost, so that the time does not reveal which names exist.
    assert [each[:7] for each in hashes] == [HASH.encode()[:7]] * 2


@pytest.mark.parametrize("password", ["short", "x" * 73, "tab\tinside", "ü" * 37, "pmt_of-a-token"])
def test_passwords_that_nobody_is_given(password: str) -> None:
    with pytest.raises(NameInvalid):
        passwords.hashed(password)


async def test_a_token_says_what_was_asked_for_and_may_be_had(world: World) -> None:
    scopes = parse_scopes(["repository:acme/a:pull,push,delete repository(plugin):acme/b:pull repository:x:pull"])
    given = await world.callers.grant(scopes, HERE, Login("anna", PASSWORD), None)
    assert (given.user, given.lifetime_seconds) == ("anna", 300)
    caller = await world.callers.by_token(given.token)
    may = {
        (name, action.value)
        for name in ("acme/a", "acme/b", "acme/c", "x")
        for action in AccessAction
        if caller.rights.allows(action, Repository(name))
    }
    assert caller.name == "anna"
    assert may == {("acme/a", "pull"), ("acme/a", "push"), ("acme/b", "pull")}
    assert caller.own_rights.allows(AccessAction.PUSH, Repository("acme/c"))


async def test_every_action_is_what_may_be_had(world: World) -> None:
    given = await world.callers.grant(parse_scopes(["repository:acme/a:*"]), HERE, Login("anna", PASSWORD), None)
    rights = (await world.callers.by_token(given.token)).rights
    assert [action.value for action in AccessAction if rights.allows(action, Repository("acme/a"))] == ["pull", "push"]


async def test_a_token_for_nobody(world: World) -> None:
    given = await world.callers.grant(parse_scopes(["repository:acme/a:pull"]), HERE, None, None)
    caller = await world.callers.by_token(given.token)
    assert (given.user, caller.name) == (None, None)
    assert not caller.rights.allows(AccessAction.PULL, Repository("acme/a"))


async def revoked(world: World) -> None:
    world.known.tokens.clear()


async def removed(world: World) -> None:
    world.known.users.clear()
    world.known.tokens.clear()


@pytest.mark.parametrize("end", [revoked, removed])
async def test_what_was_given_ends_with_what_it_was_given_for(world: World, end: object) -> None:
    given = await world.callers.grant((), HERE, None, world.secret)
    assert (await world.callers.by_token(given.token)).name == "anna"
    await (revoked if end is revoked else removed)(world)
    with pytest.raises(MirrorError) as refused:
        await world.callers.by_token(given.token)
    assert refused.value.detail["error"] == "invalid_token"


async def test_a_login_at_each_request(world: World) -> None:
    caller = await world.callers.by_login(Login("anna", PASSWORD), HERE)
    assert caller.rights is caller.own_rights
    assert caller.rights.allows(AccessAction.PUSH, Repository("acme/a"))
