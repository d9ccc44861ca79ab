"""Events reach an endpoint at least once, and in order for each repository."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.events.event_sender import Endpoint, EventSender, PostFailed
from mirror.events.webhook_signing import parse_secrets
from mirror.oci import Repository
from mirror.oci.errors import ConfigurationFault, StorageFault
from mirror.records.changes.deliveries import EndpointCounts
from mirror.store.registry import Store
from tests.support.builders import REPOSITORY, push_image
from tests.support.clocks import START, HandClock

OTHER = Repository("other/driver")
SECRETS = parse_secrets(b"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "file")


class Receiver:
    """An endpoint that answers as a test wants."""

    def __init__(self) -> None:
        self.taken: list[dict[str, object]] = []
        self.headers: list[dict[str, str]] = []
        self.status: int | None = 204
        self.broken: set[str] = set()

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        assert url == "https://hook.example/in"
        self.headers.append(headers)
        if self.status is None:
            raise PostFailed("connection refused")
        event = json.loads(body)
        if event["data"].get("repository") in self.broken:
            return 500
        if 200 <= self.status < 300:
            self.taken.append(event)
        return self.status

    @property
    def subjects(self) -> list[object]:
        return [event["subject"] for event in self.taken]


class Site:
    """A store with changes, an endpoint, and the clock."""

    def __init__(self, store: Store, clock: HandClock) -> None:
        self.store, self.clock, self.receiver = store, clock, Receiver()

    def sender(self, *kinds: str) -> EventSender:
        """Return a sender as a new process has it."""
        records, endpoint = self.store.records, Endpoint("hook", "https://hook.example/in", kinds, lambda: SECRETS)
        return EventSender(
            endpoint,
            records.changes,
            records.deliveries,
            self.receiver.post,
            self.clock,
            source="https://mirror.example",
            readers=[endpoint.reader],
        )

    async def send_all(self, sender: EventSender) -> None:
        while await sender.round():
            pass


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    clock = HandClock()
    async with Store.open(tmp_path / "data", clock=clock, keeps_changes=True) as store:
        yield Site(store, clock)


async def test_an_event_tells_what_was_done(site: Site) -> None:
    pushed = await push_image(site.store, "one", "1")
    await site.send_all(site.sender())
    (event,), (headers,) = site.receiver.taken, site.receiver.headers
    stream, _, number = str(event.pop("id")).rpartition("-")
    assert len(stream) == 16
    assert headers["webhook-id"] == f"{stream}-{number}"
    assert headers["Content-Type"] == "application/cloudevents+json"
    assert event == {
        "specversion": "1.0",
        "source": "https://mirror.example",
        "type": "plugin-mirror.tag.created",
        "subject": f"{REPOSITORY}:1",
        "time": "2026-01-02T03:04:00Z",
        "datacontenttype": "application/json",
        "data": {"repository": REPOSITORY.name, "after": str(pushed.digest), "actor": {"kind": "server"}},
    }
    assert await site.store.records.changes.read(0, 10) == []
    assert await site.store.records.deliveries.counts() == []


async def test_only_the_wanted_kinds(site: Site) -> None:
    pushed = await push_image(site.store, "one", "1")
    await site.store.delete_manifest(REPOSITORY, pushed.digest)
    await site.send_all(site.sender("manifest", "tag.deleted"))
    assert [event["type"] for event in site.receiver.taken] == [
        "plugin-mirror.tag.deleted",
        "plugin-mirror.manifest.deleted",
    ]
    assert await site.store.records.changes.read(0, 10) == []


async def test_order_holds_within_a_repository_and_others_go_on(site: Site) -> None:
    site.receiver.broken = {REPOSITORY.name}
    for tag in "12":
        await push_image(site.store, "one", tag)
        await push_image(site.store, "one", tag, repository=OTHER)
    sender = site.sender()
    await site.send_all(sender)
    assert site.receiver.subjects == [f"{OTHER}:1", f"{OTHER}:2"]
    assert len(site.receiver.headers) == 3  # the second event of the first repository waits for the first
    site.receiver.broken = set()
    await site.send_all(sender)
    assert len(site.receiver.taken) == 2  # not before its time
    site.clock.advance(seconds=7)
    await site.send_all(sender)
    assert site.receiver.subjects[2:] == [f"{REPOSITORY}:1", f"{REPOSITORY}:2"]
    ids = [headers["webhook-id"] for headers in site.receiver.headers]
    assert ids.count(ids[0]) == 2 or ids.count(ids[1]) == 2  # a repeated attempt has the same id


@pytest.mark.parametrize("status", [None, 300, 301, 404, 410, 500])
async def test_what_an_endpoint_does_not_take_in_a_day_is_a_dead_letter(site: Site, status: int | None) -> None:
    await push_image(site.store, "one", "1")
    site.receiver.status = status
    sender, deliveries = site.sender(), site.store.records.deliveries
    hours = 0
    while not await deliveries.dead_letters(None):
        await site.send_all(sender)
        site.clock.advance(hours=1)
        hours += 1
        assert hours < 40
    assert 20 < hours < 28
    (dead,) = await deliveries.dead_letters("hook")
    assert ("connection refused" if status is None else str(status)) in dead.problem
    assert await deliveries.counts() == [EndpointCounts("hook", 0, 1, None, dead.problem)]
    assert await deliveries.dead_letters("another") == []
    await push_image(site.store, "one", "2")
    site.receiver.status = 200
    await site.send_all(sender)
    assert site.receiver.subjects == [f"{REPOSITORY}:2"]  # a dead letter holds nothing up
    assert await deliveries.resend("hook", None, site.clock.now()) == 1
    await site.send_all(sender)
    assert site.receiver.subjects == [f"{REPOSITORY}:2", f"{REPOSITORY}:1"]


async def test_the_catalog_that_fails_for_one_event_lets_no_other_overtake(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await push_image(site.store, "one", "1")
    await push_image(site.store, "one", "1", repository=OTHER)
    ended, post, deliveries = asyncio.Event(), site.receiver.post, site.store.records.deliveries

    async def slow_post(url: str, headers: dict[str, str], body: bytes) -> int:
        if OTHER.name.encode() in body:
            for _ in range(20):
                await asyncio.sleep(0)
            ended.set()
        return await post(url, headers, body)

    async def failing(endpoint: str, change_id: int) -> None:
        raise StorageFault("the disk failed")

    monkeypatch.setattr(site.receiver, "post", slow_post)
    with monkeypatch.context() as broken:
        broken.setattr(deliveries, "delivered", failing)
        with pytest.raises(StorageFault, match="the disk failed"):
            await site.sender().round()
    assert ended.is_set()
    await site.send_all(site.sender())
    assert sorted(map(str, site.receiver.subjects)) == [f"{REPOSITORY}:1"] * 2 + [f"{OTHER}:1"] * 2


async def test_a_clock_that_was_set_back_holds_nothing_up(site: Site) -> None:
    site.receiver.status = 500
    await push_image(site.store, "one", "1")
    await site.send_all(site.sender())
    site.clock.set(days=-100)
    site.receiver.status = 204
    await site.send_all(site.sender())
    assert site.receiver.subjects == [f"{REPOSITORY}:1"]


async def test_a_repository_with_many_events_leaves_a_turn_to_others(site: Site) -> None:
    post = site.receiver.post

    async def slow_post(url: str, headers: dict[str, str], body: bytes) -> int:
        site.clock.advance(seconds=6)
        return await post(url, headers, body)

    site.receiver.post = slow_post  # type: ignore[method-assign]
    for number in range(5):
        await push_image(site.store, "one", str(number))
    assert await site.sender().round()
    assert site.receiver.subjects == [f"{REPOSITORY}:0", f"{REPOSITORY}:1"]


async def test_a_reason_has_no_signs_that_a_terminal_obeys(site: Site) -> None:
    async def post(url: str, headers: dict[str, str], body: bytes) -> int:
        raise PostFailed("bad\x1b[31m\nanswer" + "!" * 10_000)

    site.receiver.post = post  # type: ignore[method-assign]
    await push_image(site.store, "one", "1")
    await site.send_all(site.sender())
    (counts,) = await site.store.records.deliveries.counts()
    assert counts.problem.startswith("bad?[31m?answer!!")
    assert len(counts.problem) < 400


async def test_after_a_restore_no_id_comes_again(site: Site) -> None:
    await push_image(site.store, "one", "1")
    await site.send_all(site.sender())
    await site.store.records.changes.begin_anew()
    await push_image(site.store, "one", "2")
    await site.send_all(site.sender())
    first, second = [headers["webhook-id"].partition("-")[0] for headers in site.receiver.headers]
    assert first != second
    assert site.receiver.subjects == [f"{REPOSITORY}:1", f"{REPOSITORY}:2"]


async def test_events_of_a_former_endpoint_go_after_a_time(site: Site) -> None:
    site.receiver.status = 500
    await push_image(site.store, "one", "1")
    await site.send_all(site.sender())
    deliveries, later = site.store.records.deliveries, START + timedelta(days=7)
    assert await deliveries.forget(["another"], START) == 0  # not old enough
    assert await deliveries.forget(["hook"], later) == 0  # still an endpoint
    assert await deliveries.forget(["another"], later) == 1
    assert await deliveries.counts() == []


async def test_the_next_process_sends_what_waits(site: Site) -> None:
    site.receiver.status = 503
    for tag in "123":
        await push_image(site.store, "one", tag)
    await site.send_all(site.sender())
    site.receiver.status = 200
    site.clock.advance(seconds=7)
    await site.send_all(site.sender())
    assert site.receiver.subjects == [f"{REPOSITORY}:{tag}" for tag in "123"]


async def test_secrets_that_cannot_be_read_are_a_failed_attempt(site: Site) -> None:
    await push_image(site.store, "one", "1")

    def unreadable() -> list[object]:
        raise ConfigurationFault("the file cannot be read")

    sender = site.sender()
    sender._endpoint = Endpoint("hook", "https://hook.example/in", (), unreadable)  # type: ignore[arg-type]
    await site.send_all(sender)
    assert site.receiver.headers == []
    (count,) = await site.store.records.deliveries.counts()
    assert (count.waiting, count.oldest_at) == (1, START)
