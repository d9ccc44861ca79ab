"""Changes are recorded in the transaction that makes them, with who made them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.oci import Digest, Repository
from mirror.oci.errors import ClientFault, ManifestUnknown
from mirror.oci.names import Tag
from mirror.records.admission.admissions import AdmissionDecision, Subject
from mirror.records.changes.actor import ALLOWED_BY, Actor, ActorKind, act_as
from mirror.records.changes.change import Change, ChangeKind, ReaderPosition
from mirror.records.lifecycle.pins import Pin
from mirror.records.sync_runs import RunOutcome, RunStep, TagChange, TagEvent
from mirror.records.users import User, UserToken
from mirror.runtime.current_client import CLIENT
from mirror.runtime.current_rule import working_for
from mirror.store.registry import Store
from tests.support.builders import REPOSITORY, push_blob, push_image
from tests.support.clocks import START, HandClock
from tests.support.damage import file_of, flip_a_bit, scrub

TAG = Tag("1.0")
ANNA = User("anna", "$2b$anna", START)
TOKEN = UserToken("1a2b", "anna", "build server", START, START + timedelta(days=90))


@pytest.fixture
async def told(tmp_path: Path) -> AsyncIterator[Store]:
    """A store whose changes are recorded."""
    async with Store.open(tmp_path / "data", clock=HandClock(), keeps_changes=True) as opened:
        yield opened


async def kinds(store: Store) -> list[tuple[str, str]]:
    """Return kind and subject of all changes."""
    return [(one.change.kind.value, one.change.subject) for one in await store.records.changes.read(0, 100)]


async def test_a_tag_is_created_moved_and_deleted(told: Store) -> None:
    one, two = await push_image(told, "one", "1.0"), await push_image(told, "two", "1.0")
    await push_image(told, "two", "1.0")  # changes nothing
    await told.delete_tag(REPOSITORY, TAG)
    subject, name = f"{REPOSITORY}:1.0", REPOSITORY.name
    assert [each.change for each in await told.records.changes.read(0, 100)] == [
        Change(ChangeKind.TAG_CREATED, subject, name, after=str(one.digest)),
        Change(ChangeKind.TAG_MOVED, subject, name, before=str(one.digest), after=str(two.digest)),
        Change(ChangeKind.TAG_DELETED, subject, name, before=str(two.digest)),
    ]


async def test_the_deletion_of_a_manifest_is_that_of_its_tags_too(told: Store) -> None:
    pushed = await push_image(told, "one", "1.0")
    await told.delete_manifest(REPOSITORY, pushed.digest)
    assert await kinds(told) == [
        ("tag.created", f"{REPOSITORY}:1.0"),
        ("tag.deleted", f"{REPOSITORY}:1.0"),
        ("manifest.deleted", f"{REPOSITORY}@{pushed.digest}"),
    ]


async def test_what_fails_is_not_recorded(told: Store) -> None:
    await told.records.users.add_user(ANNA)
    with pytest.raises(ClientFault):
        await told.records.users.add_user(ANNA)
    with pytest.raises(ManifestUnknown):
        await told.delete_tag(REPOSITORY, TAG) if await push_image(told, "one", "2.0") else None
    assert await kinds(told) == [("user.added", "anna"), ("tag.created", f"{REPOSITORY}:2.0")]


async def test_of_changes_that_are_committed_together_those_that_fail_are_not_recorded(told: Store) -> None:
    users = [ANNA, ANNA, replace(ANNA, name="bob"), ANNA, replace(ANNA, name="eve")]
    queued = threading.Event()
    before = asyncio.create_task(told.services.catalog.write(lambda _: queued.wait(60)))
    adding = [asyncio.create_task(told.records.users.add_user(user)) for user in users]
    await asyncio.sleep(0)  # all wait behind the first change
    queued.set()
    outcomes = await asyncio.gather(*adding, return_exceptions=True)
    await before
    assert [type(outcome) for outcome in outcomes] == [type(None), ClientFault, type(None), ClientFault, type(None)]
    assert await kinds(told) == [("user.added", name) for name in ("anna", "bob", "eve")]


async def test_users_and_tokens_without_their_secrets(told: Store) -> None:
    await told.records.users.add_user(ANNA)
    await told.records.users.change_password("anna", "$2b$other")
    await told.records.users.add_token(TOKEN, "f" * 64)
    await told.records.users.revoke_token("1a2b")
    await told.records.users.remove_user("anna")
    assert [kind for kind, _ in await kinds(told)] == [
        "user.added",
        "user.password_changed",
        "token.created",
        "token.revoked",
        "user.removed",
    ]
    text = repr(await told.records.changes.read(0, 100))
    assert "$2b$" not in text
    assert "ffff" not in text


async def test_decisions_and_pins(told: Store) -> None:
    pushed = await push_image(told, "one", "1.0")
    subject = Subject.absent(pushed.digest)
    await told.records.decisions.decide(REPOSITORY, [subject], AdmissionDecision(True, "bob", START, "ticket 7"))
    await told.records.decisions.decide(REPOSITORY, [subject], AdmissionDecision(False, "anna", START, "no"))
    await told.records.pins.pin(Pin(REPOSITORY, TAG, "anna", START, "kept"))
    await told.records.pins.unpin(REPOSITORY, TAG)
    approved, rejected, pinned, unpinned = [each.change for each in await told.records.changes.read(1, 100)]
    assert approved.kind is ChangeKind.PLUGIN_APPROVED
    assert (approved.before, approved.after, approved.reason) == ("", str(pushed.digest), "ticket 7")
    assert approved.detail == {"by": "bob"}
    assert (rejected.kind, rejected.before) == (ChangeKind.PLUGIN_REJECTED, "approved")
    assert (pinned.kind, unpinned.kind) == (ChangeKind.TAG_PINNED, ChangeKind.TAG_UNPINNED)
    assert pinned.reason == "kept"


async def test_what_a_rule_finds_out(told: Store) -> None:
    runs, source, before, after = told.records.sync_runs, "hub/driver", Digest.of(b"a"), Digest.of(b"b")
    found = {
        TagChange.APPEARED: (),
        TagChange.MOVED: ("+ network: host", "- mounts: /tmp"),
        TagChange.HELD: ("+ network: host",),
        TagChange.GONE: (),
    }
    run = await runs.begin_run("nightly")
    with working_for("nightly"):
        await runs.record(
            run,
            [
                RunStep(event=TagEvent(REPOSITORY, TAG, START, change, before, after, source, difference))
                for change, difference in found.items()
            ],
        )
        await runs.end_run(replace(run, outcome=RunOutcome.FAILED, reason="no connection"))
    subject, name, digests = f"{REPOSITORY}:{TAG}", REPOSITORY.name, (str(before), str(after))
    both = {"source": source, "difference": "+ network: host; - mounts: /tmp"}
    one = {"source": source, "difference": "+ network: host"}
    recorded = await told.records.changes.read(0, 100)
    assert [each.change for each in recorded] == [
        Change(ChangeKind.PRIVILEGES_CHANGED, subject, name, *digests, detail=both),
        Change(ChangeKind.UPSTREAM_TAG_HELD, subject, name, *digests, detail=one),
        Change(ChangeKind.UPSTREAM_TAG_GONE, subject, name, *digests, detail={"source": source}),
        Change(ChangeKind.SYNC_FAILED, "nightly", reason="no connection"),
    ]
    assert {each.actor for each in recorded} == {Actor(ActorKind.RULE, "nightly")}


async def test_content_that_a_scrub_finds_damaged(told: Store, tmp_path: Path) -> None:
    blob = await push_blob(told, b"content")
    flip_a_bit(file_of(tmp_path / "data", blob.digest))
    await scrub(told)
    (found,) = await told.records.changes.read(0, 100)
    assert (found.change.kind, found.change.subject) == (ChangeKind.CONTENT_DAMAGED, str(blob.digest))
    assert found.change.reason


async def test_text_that_is_no_unicode_is_refused_and_changes_nothing(told: Store) -> None:
    pushed = await push_image(told, "one", "1.0")
    with pytest.raises(ClientFault, match="not UTF-8"):
        await told.records.pins.pin(Pin(REPOSITORY, TAG, "anna", START, "ticket \udcff"))
    decision = AdmissionDecision(True, "bob", START, "ticket \udcff")
    with pytest.raises(ClientFault, match="not UTF-8"):
        await told.records.decisions.decide(REPOSITORY, [Subject.absent(pushed.digest)], decision)
    assert await kinds(told) == [("tag.created", f"{REPOSITORY}:1.0")]


async def test_who_made_a_change(told: Store) -> None:
    await push_image(told, "one", "1")
    CLIENT.set("10.0.0.7")
    await push_image(told, "one", "2")
    act_as(ActorKind.USER, "anna", "token:1a2b")
    ALLOWED_BY.set("access: rule 1")
    await push_image(told, "one", "3")
    with working_for("nightly"):
        await push_image(told, "one", "4")
    assert [each.actor for each in await told.records.changes.read(0, 100)] == [
        Actor(ActorKind.SERVER),
        Actor(ActorKind.ANONYMOUS, address="10.0.0.7"),
        Actor(ActorKind.USER, "anna", "token:1a2b", "10.0.0.7", "access: rule 1"),
        Actor(ActorKind.RULE, "nightly"),
    ]


async def test_without_readers_nothing_is_recorded(store: Store) -> None:
    await push_image(store, "one", "1.0")
    await store.records.changes.note(Change(ChangeKind.REFUSED, "anything"))
    assert await store.records.changes.read(0, 100) == []


async def test_a_folder_of_before_has_changes_from_then_on(old_folder: Path) -> None:
    async with Store.open(old_folder, clock=HandClock(), keeps_changes=True) as store:
        assert await store.records.changes.read(0, 100) == []
        (user,) = await store.records.users.list_users()
        await store.records.users.change_password(user.name, "$2b$other")
        driver = Repository("acme/driver")
        held = await store.resolve(driver, Tag("held"))
        await store.delete_tag(driver, Tag("held"))
        deleted = Change(ChangeKind.TAG_DELETED, "acme/driver:held", "acme/driver", before=str(held.digest))
        assert [each.change for each in await store.records.changes.read(0, 100)] == [
            Change(ChangeKind.PASSWORD_CHANGED, user.name),
            deleted,
        ]


async def test_a_change_stays_until_all_readers_have_it(told: Store) -> None:
    log = told.records.changes
    for tag in "123":
        await push_image(told, "one", tag)
    first, second, third = [each.id for each in await log.read(0, 100)]
    assert await log.oldest("audit") == START
    assert first < second < third
    assert [each.id for each in await log.read(first, 1)] == [second]
    assert await log.position("audit") == ReaderPosition()
    await log.advance("audit", ReaderPosition(third, "a mark"), ["audit", "hook"])
    assert await log.position("audit") == ReaderPosition(third, "a mark")
    assert len(await log.read(0, 100)) == 3
    assert await log.oldest("audit") is None
    await log.advance("hook", ReaderPosition(second), ["audit", "hook"])
    assert [each.id for each in await log.read(0, 100)] == [third]
    # A reader that was removed from the configuration holds nothing up.
    await log.advance("audit", ReaderPosition(third), ["audit"])
    assert await log.read(0, 100) == []
    await push_image(told, "one", "4")
    assert [each.id for each in await log.read(0, 100)] == [third + 1]  # a number is never used twice
