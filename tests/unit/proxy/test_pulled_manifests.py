import asyncio
from collections.abc import Awaitable

import pytest

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import (
    ClientFault,
    ManifestUnknown,
    MirrorError,
    NotFound,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamUnreachable,
)
from mirror.registry.staleness import staleness_of
from mirror.runtime.concurrency.shared_tasks import wait
from mirror.store.registry import Store
from tests.support.pull_through import NAME, TAG, Plugin, World, pull, pulling, raised, read
from tests.support.waiting import until

FAILURES = [
    UpstreamUnreachable("no route"),
    UpstreamRefused("401"),
    UpstreamBusy("429"),
    UpstreamProtocolError("not JSON"),
]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Longest waits of the callers that wait for an upstream, in seconds. None: no limit."""
    begun: list[float | None] = []

    def watched(shared: asyncio.Future[Manifest], timeout_seconds: float | None = None) -> Awaitable[Manifest]:
        begun.append(timeout_seconds)
        return wait(shared, timeout_seconds)

    monkeypatch.setattr("mirror.proxy.pulled_manifests.wait", watched)
    return begun


class TestFirstPull:
    @pytest.mark.parametrize(
        "failure", [ClientFault("upstream hub: GET answered 400", upstream="hub"), ClientFault("GET answered 400")]
    )
    async def test_an_answer_that_nobody_expects_names_the_upstream_once(
        self, world: World, failure: ClientFault
    ) -> None:
        world.hub.failure = failure
        error = await raised(world.registry.get_manifest(NAME, TAG))
        assert str(error).endswith(f"{NAME} has no manifest {TAG}: upstream hub: GET answered 400")

    async def test_costs_the_upstream_one_get(self, world: World) -> None:
        wanted = await Plugin.make().at(world.hub)
        assert await pull(world) == wanted.manifest
        assert world.hub.asked == {"get_manifest": 1, "open_blob": 2}
        assert await pull(world) == wanted.manifest
        assert world.hub.asked == {"get_manifest": 1, "open_blob": 2}

    async def test_makes_it_a_part_of_the_store_when_all_of_it_is_there(self, world: World) -> None:
        wanted = await Plugin.make().at(world.hub)
        await world.registry.get_manifest(NAME, TAG)
        with pytest.raises(NotFound):
            await world.store.get_manifest(NAME, TAG)
        await pull(world)
        assert await world.store.get_manifest(NAME, TAG) == wanted.manifest

    async def test_one_that_becomes_complete_while_it_is_looked_for_is_found(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wanted = await Plugin.make().at(world.hub)
        await world.registry.get_manifest(NAME, TAG)
        look = world.store.records.incomplete.incomplete

        async def too_late(repository: Repository, digest: Digest) -> Manifest | None:
            for blob in (wanted.config, wanted.layer):
                await read(world.registry.open_blob(NAME, Digest.of(blob)))
            await world.idle()
            world.hub.failure = UpstreamUnreachable("gone")
            return await look(repository, digest)

        monkeypatch.setattr(world.store.records.incomplete, "incomplete", too_late)
        assert await world.registry.get_manifest(NAME, TAG) == wanted.manifest
        assert await world.store.get_manifest(NAME, TAG) == wanted.manifest

    async def test_many_at_once_cost_the_upstream_one_get(self, world: World, waits: list[float | None]) -> None:
        wanted = await Plugin.make().at(world.hub)
        world.hub.stalled.clear()
        asking = [asyncio.create_task(world.registry.get_manifest(NAME, TAG)) for _ in range(20)]
        await until(lambda: len(waits) == 20)
        asking[0].cancel()
        world.hub.stalled.set()
        assert {each.digest for each in await asyncio.gather(*asking[1:])} == {wanted.manifest.digest}
        assert world.hub.asked["get_manifest"] == 1

    async def test_survives_a_restart(self, store: Store) -> None:
        async with pulling(store) as world:
            wanted = await Plugin.make().at(world.hub)
            await world.registry.resolve(NAME, TAG)
        async with pulling(store, upstreams=world.upstreams, clock=world.clock) as again:
            assert await pull(again) == wanted.manifest
        assert world.hub.asked == {"get_manifest": 1, "open_blob": 2}

    async def test_of_something_that_is_nowhere_is_remembered_for_a_while(self, world: World) -> None:
        for _ in range(3):
            assert isinstance(await raised(world.registry.get_manifest(NAME, TAG)), NotFound)
        assert world.hub.asked["get_manifest"] == 1
        world.clock.advance(seconds=31)
        wanted = await Plugin.make().at(world.hub)
        assert await world.registry.get_manifest(NAME, TAG) == wanted.manifest

    @pytest.mark.parametrize("failure", FAILURES)
    async def test_that_fails_says_why_and_is_tried_again(self, store: Store, failure: MirrorError) -> None:
        name = Repository("hub/vieux/sshfs")
        async with pulling(store, ("hub/**", "hub/**")) as world:
            wanted = await Plugin.make().at(world.hub)
            world.hub.failure = failure
            error = await raised(world.registry.get_manifest(name, TAG))
            assert type(error) is (ManifestUnknown if isinstance(failure, UpstreamRefused) else type(failure))
            assert str(failure) in str(error)
            world.hub.failure = None
            assert await world.registry.get_manifest(name, TAG) == wanted.manifest

    @pytest.mark.parametrize("failure", FAILURES)
    async def test_of_a_name_that_is_the_same_there_is_never_more_than_missing(
        self, world: World, failure: MirrorError
    ) -> None:
        world.hub.failure = failure
        assert isinstance(await raised(world.registry.resolve(NAME, TAG)), ManifestUnknown)
        assert world.count("pulls", kind="manifest", outcome="failed") == 1


class TestFreshness:
    async def test_a_tag_is_confirmed_by_a_head_after_five_minutes(self, world: World) -> None:
        wanted = await Plugin.make().at(world.hub)
        await pull(world)
        world.clock.advance(minutes=4, seconds=59)
        await world.registry.get_manifest(NAME, TAG)
        assert world.hub.asked["resolve"] == 0
        world.clock.advance(seconds=1)
        found = await world.registry.get_manifest(NAME, TAG)
        assert (found, staleness_of(found)) == (wanted.manifest, None)
        assert (world.hub.asked["resolve"], world.hub.asked["get_manifest"]) == (1, 1)
        world.clock.advance(minutes=4)
        await world.registry.get_manifest(NAME, TAG)
        assert world.hub.asked["resolve"] == 1

    async def test_a_tag_that_moved_is_picked_up(self, world: World) -> None:
        await Plugin.make(1).at(world.hub)
        await pull(world)
        moved = await Plugin.make(2).at(world.hub)
        world.clock.advance(minutes=5)
        assert await pull(world) == moved.manifest
        assert await world.store.get_manifest(NAME, TAG) == moved.manifest
        assert world.count("pulls", kind="manifest", outcome="moved") == 1

    async def test_what_one_process_confirmed_another_need_not(self, store: Store, world: World) -> None:
        await Plugin.make().at(world.hub)
        await pull(world)
        world.clock.advance(minutes=6)
        await world.registry.get_manifest(NAME, TAG)
        async with pulling(store, upstreams=world.upstreams, clock=world.clock) as other:
            await other.registry.get_manifest(NAME, TAG)
        assert world.hub.asked["resolve"] == 1


class TestStaleness:
    @pytest.mark.parametrize("failure", FAILURES)
    async def test_an_upstream_that_fails_in_any_way_costs_a_warning(self, world: World, failure: MirrorError) -> None:
        wanted = await Plugin.make().at(world.hub)
        await pull(world)
        world.clock.advance(minutes=7)
        world.hub.failure = failure
        found = await world.registry.resolve(NAME, TAG)
        assert found.digest == wanted.manifest.digest
        staleness = staleness_of(found)
        assert staleness is not None
        assert (staleness.age_seconds, staleness.reason) == (420, str(failure))
        assert world.count("pulls", kind="manifest", outcome="stale") == 1

    async def test_is_not_asked_about_for_two_minutes(self, world: World) -> None:
        await Plugin.make().at(world.hub)
        await pull(world)
        world.clock.advance(minutes=7)
        world.hub.failure = UpstreamBusy("503")
        for _ in range(3):
            assert staleness_of(await world.registry.get_manifest(NAME, TAG)) is not None
        assert world.hub.asked["resolve"] == 1
        world.hub.failure = None
        world.clock.advance(minutes=2)
        assert staleness_of(await world.registry.get_manifest(NAME, TAG)) is None

    async def test_a_tag_that_is_gone_there_stays_here(self, world: World) -> None:
        wanted = await Plugin.make().at(world.hub)
        await pull(world)
        await world.hub.inner.delete_tag(NAME, TAG)
        world.clock.advance(minutes=7)
        found = await world.registry.get_manifest(NAME, TAG)
        assert found.digest == wanted.manifest.digest
        assert staleness_of(found) is not None
        assert world.count("pull_failures", upstream="hub", reason="not_found") == 1

    async def test_an_upstream_that_is_silent_costs_one_pull_a_moment_and_the_next_ones_nothing(
        self, store: Store, waits: list[float | None]
    ) -> None:
        async with pulling(store, timeout_seconds=0.1) as world:
            await Plugin.make().at(world.hub)
            await pull(world)
            await Plugin.make().at(world.hub, NAME, "other")
            await pull(world, target=Tag("other"))
            world.clock.advance(minutes=7)
            world.hub.stalled.clear()
            assert staleness_of(await world.registry.get_manifest(NAME, TAG)) is not None
            world.clock.advance(minutes=3)
            for tag in (TAG, Tag("other")):
                assert staleness_of(await world.registry.get_manifest(NAME, tag)) is not None
            assert waits[-3:] == [0.1, 0, 0]
            world.hub.stalled.set()

    async def test_who_was_told_the_old_digest_is_not_told_another_a_moment_later(self, store: Store) -> None:
        async with pulling(store, timeout_seconds=0.1) as world:
            old = await Plugin.make(1).at(world.hub)
            await pull(world)
            new = await Plugin.make(2).at(world.hub)
            world.clock.advance(minutes=7)
            world.hub.stalled.clear()
            assert (await world.registry.resolve(NAME, TAG)).digest == old.manifest.digest
            world.hub.stalled.set()
            # The late answer arrives, and leads to another request.
            await until(lambda: world.hub.asked["get_manifest"] >= 2)
        async with pulling(store, upstreams=world.upstreams, clock=world.clock) as world:  # another worker
            world.clock.advance(minutes=1)
            assert (await world.registry.resolve(NAME, TAG)).digest == old.manifest.digest
            world.clock.advance(minutes=1)
            assert (await world.registry.resolve(NAME, TAG)).digest == new.manifest.digest

    async def test_the_last_one_that_is_all_here_is_served(self, world: World) -> None:
        whole = await Plugin.make(1).at(world.hub)
        await pull(world)
        await Plugin.make(2).at(world.hub)
        world.clock.advance(minutes=7)
        await world.registry.get_manifest(NAME, TAG)
        world.hub.failure = UpstreamUnreachable("gone")
        world.clock.advance(minutes=7)
        assert (await world.registry.get_manifest(NAME, TAG)).digest == whole.manifest.digest

    async def test_offline_is_stale_without_a_question(self, store: Store) -> None:
        async with pulling(store) as world:
            await Plugin.make().at(world.hub)
            await pull(world)
            asked = world.hub.asked.total()
        async with pulling(store, upstreams=world.upstreams, clock=world.clock, offline=("hub",)) as world:
            world.clock.advance(minutes=7)
            assert staleness_of(await world.registry.get_manifest(NAME, TAG)) is not None
            assert isinstance(await raised(world.registry.get_manifest(NAME, Tag("other"))), ManifestUnknown)
            assert world.hub.asked.total() == asked


class TestSeveralUpstreams:
    RULES = (("hub/**", "**"), ("spare/**", "**"))

    async def test_the_next_one_is_asked_for_what_the_first_does_not_have(self, store: Store) -> None:
        async with pulling(store, *self.RULES) as world:
            wanted = await Plugin.make().at(world.upstreams["spare"])
            assert await pull(world) == wanted.manifest
            origin = await store.records.origins.origin(NAME, TAG)
            assert origin is not None
            assert origin.upstream == "spare"
            assert world.hub.asked == {"get_manifest": 1}

    async def test_the_next_one_is_asked_where_the_first_fails(self, store: Store) -> None:
        async with pulling(store, *self.RULES) as world:
            world.hub.failure = UpstreamUnreachable("down")
            wanted = await Plugin.make().at(world.upstreams["spare"])
            assert await pull(world) == wanted.manifest

    async def test_a_tag_does_not_change_its_upstream_because_that_one_fails(self, store: Store) -> None:
        async with pulling(store, *self.RULES) as world:
            wanted = await Plugin.make(1).at(world.hub)
            await Plugin.make(2).at(world.upstreams["spare"])
            await pull(world)
            world.hub.failure = UpstreamUnreachable("down")
            world.clock.advance(minutes=7)
            found = await world.registry.get_manifest(NAME, TAG)
            assert found.digest == wanted.manifest.digest
            assert staleness_of(found) is not None


class TestPrecedence:
    async def test_pushed_names_never_go_upstream(self, world: World) -> None:
        await Plugin.make(1).at(world.hub)
        await Plugin.make(1).at(world.hub, NAME, "theirs")
        mine = await Plugin.make(2).at(world.registry)
        assert await world.registry.get_manifest(NAME, TAG) == mine.manifest
        for target in (Tag("theirs"), Plugin.make(1).manifest.digest):
            assert isinstance(await raised(world.registry.get_manifest(NAME, target)), ManifestUnknown)
        world.clock.advance(minutes=9)
        assert staleness_of(await world.registry.get_manifest(NAME, TAG)) is None
        assert world.hub.asked.total() == 0

    async def test_a_push_under_way_asks_nobody(self, world: World) -> None:
        world.hub.stalled.clear()
        wanted = Plugin.make()
        assert isinstance(await raised(world.registry.stat_blob(NAME, wanted.manifest.config.digest)), NotFound)
        await wanted.at(world.registry)
        assert isinstance(await raised(world.registry.resolve(NAME, Tag("next"))), ManifestUnknown)
        assert world.hub.asked.total() == 0

    async def test_a_push_while_the_upstream_is_asked_wins(self, world: World) -> None:
        await Plugin.make(1).at(world.hub)
        world.hub.stalled.clear()
        asking = asyncio.create_task(world.registry.get_manifest(NAME, TAG))
        await until(lambda: world.hub.asked)
        mine = await Plugin.make(2).at(world.registry)
        world.hub.stalled.set()
        await asking
        assert await world.registry.get_manifest(NAME, TAG) == mine.manifest
        assert await world.store.get_manifest(NAME, TAG) == mine.manifest

    async def test_a_push_over_what_was_pulled_wins(self, world: World) -> None:
        await Plugin.make(1).at(world.hub)
        await pull(world)
        mine = await Plugin.make(2).at(world.registry)
        world.clock.advance(minutes=9)
        found = await world.registry.get_manifest(NAME, TAG)
        assert (found, staleness_of(found)) == (mine.manifest, None)

    async def test_reserved_names_never_go_upstream(self, store: Store) -> None:
        async with pulling(store, reserved=("vieux/*",)) as world:
            await Plugin.make().at(world.hub)
            assert isinstance(await raised(world.registry.get_manifest(NAME, TAG)), NotFound)
            assert world.hub.asked.total() == 0

    async def test_what_was_deleted_here_is_fetched_again(self, world: World) -> None:
        wanted = await Plugin.make().at(world.hub)
        await world.registry.get_manifest(NAME, TAG)
        await world.registry.delete_tag(NAME, TAG)
        await pull(world)
        await world.registry.delete_manifest(NAME, wanted.manifest.digest)
        assert isinstance(await raised(world.store.get_manifest(NAME, TAG)), NotFound)
        assert await pull(world) == wanted.manifest
        assert isinstance(await raised(world.registry.delete_tag(NAME, Tag("absent"))), NotFound)


async def test_a_renamed_plugin_is_asked_for_by_its_name_there(store: Store) -> None:
    here, there = Repository("contiv/v2plugin"), Repository("store/contiv/v2plugin")
    async with pulling(store, ("hub/store/*/*", "*/*")) as world:
        wanted = await Plugin.make().at(world.hub, there)
        assert await pull(world, here) == wanted.manifest
        origin = await store.records.origins.origin(here, TAG)
        assert origin is not None
        assert (origin.upstream, origin.source) == ("hub", there)


async def test_names_without_a_rule_are_the_stores(store: Store) -> None:
    async with pulling(store, ("hub/**", "hub/**")) as world:
        mine = await Plugin.make().at(world.registry)
        assert await world.registry.get_manifest(NAME, TAG) == mine.manifest
        assert await read(world.registry.open_blob(NAME, mine.manifest.layers[0].digest)) == mine.layer


async def test_a_fetch_that_the_end_cancels_leaves_nothing(store: Store) -> None:
    async with pulling(store) as world:
        world.hub.stalled.clear()
        asking = asyncio.create_task(world.registry.get_manifest(NAME, TAG))
        await until(lambda: world.hub.asked)
    with pytest.raises(asyncio.CancelledError):
        await asking
