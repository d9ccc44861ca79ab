import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from mirror.oci import Descriptor, Digest, Repository, Tag
from mirror.oci.errors import (
    BlobUnknown,
    ManifestBlobUnknown,
    NotFound,
    RangeInvalid,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamUnreachable,
)
from mirror.oci.media_types import OCI_LAYER_GZIP, OCTET_STREAM
from mirror.store.registry import Store
from mirror.wire.pagination import PageRequest
from mirror.wire.ranges import RangeRequest
from tests.support.builders import described, hold, index, plugin
from tests.support.pull_through import NAME, TAG, Plugin, World, pull, pulling, raised, read
from tests.support.waiting import until

EVERYTHING = PageRequest()


def counted(calls: Counter[str], function: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    async def call(*arguments: object) -> object:
        calls[function.__name__] += 1
        return await function(*arguments)

    return call


class TestBlobs:
    async def test_what_a_pulled_manifest_names_has_a_size_before_it_is_here(self, world: World) -> None:
        wanted = await Plugin.make().at(world.hub)
        await world.registry.get_manifest(NAME, TAG)
        layer = wanted.manifest.layers[0]
        assert (await world.registry.stat_blob(NAME, layer.digest)).size_bytes == layer.size_bytes
        assert world.hub.asked == {"get_manifest": 1}

    async def test_a_push_that_relies_on_a_blob_that_was_found_gets_it(self, world: World) -> None:
        theirs = await Plugin.make().at(world.hub)
        await world.registry.get_manifest(NAME, TAG)
        config = b'{"Description":"mine"}'
        await hold(world.registry, NAME, [config], [])
        layer = theirs.manifest.layers[0].digest
        assert await world.registry.stat_blob(NAME, layer)
        mine = plugin(config, theirs.layer)
        await world.registry.put_manifest(NAME, mine, [Tag("mine")])
        assert world.hub.asked == {"get_manifest": 1, "open_blob": 1}
        assert await read(world.store.open_blob(NAME, layer)) == theirs.layer
        assert (await world.store.get_manifest(NAME, Tag("mine"))).digest == mine.digest

    @pytest.mark.parametrize("broken", ["upstream", "push"])
    async def test_a_push_with_a_blob_that_cannot_be_had_is_refused(self, world: World, broken: str) -> None:
        theirs = await Plugin.make().at(world.hub)
        await world.registry.get_manifest(NAME, TAG)
        if broken == "upstream":
            world.hub.failure = UpstreamRefused("403")
        wanted = theirs.manifest if broken == "upstream" else plugin(theirs.config, theirs.layer, b"never pushed")
        error = await raised(world.registry.put_manifest(NAME, wanted, [Tag("mine")]))
        assert isinstance(error, ManifestBlobUnknown)
        await world.idle()

    async def test_what_nothing_names_has_a_size_for_those_who_pull(self, world: World) -> None:
        wanted = await Plugin.make().at(world.hub)
        layer = wanted.manifest.layers[0]
        for _ in range(2):
            assert (await world.registry.stat_pullable_blob(NAME, layer.digest)) == Descriptor(
                OCTET_STREAM, layer.digest, layer.size_bytes
            )
        assert world.hub.asked == {"stat_blob": 2}, "nothing is fetched"
        assert isinstance(await raised(world.registry.stat_blob(NAME, layer.digest)), BlobUnknown)
        assert await pull(world) == wanted.manifest
        assert (await world.registry.stat_pullable_blob(NAME, layer.digest)).size_bytes == layer.size_bytes
        assert world.hub.asked["stat_blob"] == 2, "held blobs are not looked for"

    async def test_what_nobody_has_is_unknown_to_those_who_pull(self, world: World) -> None:
        await Plugin.make().at(world.hub)
        for _ in range(3):
            error = await raised(world.registry.stat_pullable_blob(NAME, Digest.of(b"absent")))
            assert isinstance(error, BlobUnknown)
        assert world.hub.asked == {"stat_blob": 1}

    @pytest.mark.parametrize(("to", "told"), [("**", BlobUnknown), ("hub/**", UpstreamUnreachable)])
    async def test_a_size_from_an_upstream_that_fails(self, store: Store, to: str, told: type[Exception]) -> None:
        async with pulling(store, ("hub/**", to)) as world:
            world.hub.failure = UpstreamUnreachable("down")
            name = Repository(to.replace("**", NAME.name))
            assert type(await raised(world.registry.stat_pullable_blob(name, Digest.of(b"x")))) is told

    async def test_a_pushed_name_has_no_size_for_what_only_a_pulled_manifest_named(self, world: World) -> None:
        theirs = await Plugin.make(1).at(world.hub)
        await world.registry.get_manifest(NAME, TAG)
        await Plugin.make(2).at(world.registry, NAME, "pushed")
        layer = theirs.manifest.layers[0].digest
        for look in (world.registry.stat_blob, world.registry.stat_pullable_blob):
            assert isinstance(await raised(look(NAME, layer)), BlobUnknown)
        assert isinstance(await raised(read(world.registry.open_blob(NAME, layer))), BlobUnknown)

    async def test_what_nothing_names_can_be_had_all_the_same(self, world: World) -> None:
        wanted = await Plugin.make().at(world.hub)
        layer = wanted.manifest.layers[0]
        assert await read(world.registry.open_blob(NAME, layer.digest)) == wanted.layer
        await world.idle()
        assert world.hub.asked == {"stat_blob": 1, "open_blob": 1}
        assert await pull(world) == wanted.manifest, "the name has not become one that was pushed to"
        assert world.hub.asked["open_blob"] == 2

    async def test_sixteen_who_ask_at_once_look_for_it_once(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wanted = await Plugin.make().at(world.hub)
        await world.registry.get_manifest(NAME, TAG)
        layer = wanted.manifest.layers[0].digest
        looks = Counter[str]()
        for part, look in ((world.store, "stat_blob"), (world.store.records.incomplete, "awaited")):
            monkeypatch.setattr(part, look, counted(looks, getattr(part, look)))
        read_by_all = await asyncio.gather(*(read(world.registry.open_blob(NAME, layer)) for _ in range(16)))
        assert set(read_by_all) == {wanted.layer}
        assert looks == {"stat_blob": 1, "awaited": 1}
        await world.idle()

    async def test_what_nobody_has_is_remembered_for_a_while(self, world: World) -> None:
        absent = Digest.of(b"absent")
        for _ in range(3):
            assert isinstance(await raised(read(world.registry.open_blob(NAME, absent))), BlobUnknown)
        assert world.hub.asked == {"stat_blob": 1}

    async def test_a_part_of_it(self, world: World) -> None:
        wanted = await Plugin.make().at(world.hub)
        await world.registry.get_manifest(NAME, TAG)
        digest = wanted.manifest.layers[0].digest
        opening = world.registry.open_blob(NAME, digest, RangeRequest(1000, 1999))
        assert await read(opening) == wanted.layer[1000:2000]
        error = await raised(read(world.registry.open_blob(NAME, Digest.of(wanted.config), RangeRequest(9999, None))))
        assert isinstance(error, RangeInvalid)

    async def test_one_that_is_here_in_another_repository_is_not_fetched_again(self, store: Store) -> None:
        other = Repository("other/name")
        async with pulling(store, ("hub/**", "**")) as world:
            wanted = await Plugin.make().at(world.hub)
            await wanted.at(world.hub, other)
            await pull(world)
            assert await pull(world, other) == wanted.manifest
            assert world.hub.asked == {"get_manifest": 2, "open_blob": 2}
            assert (await store.get_manifest(other, TAG)).digest == wanted.manifest.digest

    async def test_one_that_two_names_want_at_once_is_fetched_once(self, world: World) -> None:
        other = Repository("other/name")
        wanted = await Plugin.make().at(world.hub)
        await wanted.at(world.hub, other)
        world.hub.limit = 100_000
        reading = [asyncio.create_task(pull(world, name)) for name in (NAME, other)]
        await until(lambda: world.hub.sent_bytes >= 100_000)
        await until(lambda: any(download.readers == 2 for download, _ in world.downloads._running.values()))
        world.hub.limit = None
        assert {(await each).digest for each in reading} == {wanted.manifest.digest}
        assert world.hub.sent_bytes == len(wanted.layer) + len(wanted.config)
        for name in (NAME, other):
            assert (await world.store.get_manifest(name, TAG)).digest == wanted.manifest.digest

    @pytest.mark.parametrize(
        ("failure", "name", "told"),
        [
            (UpstreamUnreachable("down"), Repository("hub/vieux/sshfs"), UpstreamUnreachable),
            (UpstreamRefused("403"), Repository("hub/vieux/sshfs"), BlobUnknown),
            (UpstreamUnreachable("down"), NAME, BlobUnknown),
        ],
    )
    async def test_an_upstream_that_fails(
        self, store: Store, failure: UpstreamUnreachable, name: Repository, told: type[Exception]
    ) -> None:
        async with pulling(store, ("hub/**", "**" if name == NAME else "hub/**")) as world:
            wanted = await Plugin.make().at(world.hub)
            await world.registry.get_manifest(name, TAG)
            world.hub.failure = failure
            digest = wanted.manifest.layers[0].digest
            error = await raised(read(world.registry.open_blob(name, digest)))
            assert type(error) is told
            assert str(failure) in str(error)
            world.hub.failure = None
            assert await read(world.registry.open_blob(name, digest)) == wanted.layer
            await world.idle()

    async def test_a_wrong_one_reaches_nobody(self, store: Store) -> None:
        name = Repository("hub/vieux/sshfs")
        async with pulling(store, ("hub/**", "hub/**")) as world:
            wanted = await Plugin.make().at(world.hub)
            config = wanted.manifest.config
            assert config is not None
            world.hub.instead[config.digest] = b"#" * config.size_bytes
            await world.registry.get_manifest(name, TAG)
            assert isinstance(await raised(read(world.registry.open_blob(name, config.digest))), UpstreamProtocolError)
            assert world.count("pull_failures", upstream="hub", reason="protocol_error") == 1
            assert isinstance(await raised(store.stat_blob(name, config.digest)), BlobUnknown)
            world.hub.instead.clear()
            assert await pull(world, name) == wanted.manifest

    async def test_one_of_another_size_than_its_manifest_says_is_not_even_begun(self, store: Store) -> None:
        name = Repository("hub/vieux/sshfs")
        async with pulling(store, ("hub/**", "hub/**")) as world:
            wanted = await Plugin.make().at(world.hub)
            layer = wanted.manifest.layers[0]
            world.hub.instead[layer.digest] = wanted.layer + b"#"
            await world.registry.get_manifest(name, TAG)
            assert isinstance(await raised(read(world.registry.open_blob(name, layer.digest))), UpstreamProtocolError)
            assert world.hub.sent_bytes == 0

    async def test_something_that_is_said_to_be_nothing_is_a_lie(self, store: Store) -> None:
        name, config, layer = Repository("hub/vieux/sshfs"), b"{}", b"something"
        async with pulling(store, ("hub/**", "hub/**")) as world:
            await hold(world.hub, NAME, [config, layer], [plugin(config, layer, layer_size_bytes=0)], "latest")
            await world.registry.get_manifest(name, TAG)
            assert isinstance(
                await raised(read(world.registry.open_blob(name, Digest.of(layer)))), UpstreamProtocolError
            )

    async def test_members_of_an_index_of_blobs_are_pulled_like_layers(self, world: World) -> None:
        layer, config = b"layer of a build cache", b'{"layers": []}'
        kinds = [(OCI_LAYER_GZIP, layer), ("application/vnd.buildkit.cacheconfig.v0", config)]
        cache = index(*(described(kind, blob) for kind, blob in kinds))
        await hold(world.hub, NAME, [layer, config], [cache], "latest")
        assert await pull(world) == cache
        assert await world.store.get_manifest(NAME, TAG) == cache
        assert world.hub.asked == {"get_manifest": 1, "open_blob": 2}

    async def test_pushed_names_are_not_looked_for(self, world: World) -> None:
        theirs = await Plugin.make(1).at(world.hub)
        await Plugin.make(2).at(world.registry)
        error = await raised(read(world.registry.open_blob(NAME, theirs.manifest.layers[0].digest)))
        assert isinstance(error, BlobUnknown)
        assert world.hub.asked.total() == 0


class TestLists:
    async def test_tags_here_and_there_are_one_list(self, world: World) -> None:
        await Plugin.make().at(world.hub, NAME, "a", "c", "latest")
        await pull(world)
        listed = await world.registry.list_tags(NAME, EVERYTHING)
        assert [str(tag) for tag in listed.entries] == ["a", "c", "latest"]
        first = await world.registry.list_tags(NAME, PageRequest(limit=2))
        assert ([str(tag) for tag in first.entries], first.more) == (["a", "c"], True)
        second = await world.registry.list_tags(NAME, PageRequest(limit=2, last="c"))
        assert ([str(tag) for tag in second.entries], second.more) == (["latest"], False)
        assert (await world.registry.list_tags(NAME, PageRequest(limit=0))).entries == ()

    async def test_an_upstream_that_fails_lists_nothing(self, world: World) -> None:
        await Plugin.make().at(world.hub, NAME, "a", "latest")
        await pull(world)
        world.hub.failure = UpstreamUnreachable("down")
        assert (await world.registry.list_tags(NAME, EVERYTHING)).entries == (TAG,)
        assert isinstance(await raised(world.registry.list_tags(Repository("other"), EVERYTHING)), UpstreamUnreachable)
        world.hub.failure = None
        assert isinstance(await raised(world.registry.list_tags(Repository("other"), EVERYTHING)), NotFound)

    async def test_a_list_of_referrers_says_whether_the_upstream_was_asked(self, world: World) -> None:
        await Plugin.make().at(world.hub)
        await pull(world)
        assert not (await world.registry.list_referrers(NAME, Digest.of(b"x"), None, EVERYTHING)).is_partial
        world.hub.failure = UpstreamUnreachable("gone")
        for _ in range(2):  # the second time the upstream is not asked
            assert (await world.registry.list_referrers(NAME, Digest.of(b"x"), None, EVERYTHING)).is_partial

    async def test_an_upstream_that_is_silent_holds_nobody_up(self, store: Store) -> None:
        async with pulling(store, timeout_seconds=0.2) as world:
            await Plugin.make().at(world.hub, NAME, "a", "latest")
            await pull(world)
            world.hub.stalled.clear()
            assert (await world.registry.list_tags(NAME, EVERYTHING)).entries == (TAG,)
            world.hub.stalled.set()

    async def test_pushed_names_list_what_is_here(self, world: World) -> None:
        await Plugin.make().at(world.hub, NAME, "theirs")
        await Plugin.make().at(world.registry, NAME, "mine")
        assert (await world.registry.list_tags(NAME, EVERYTHING)).entries == (Tag("mine"),)
        found = await world.registry.list_referrers(NAME, Digest.of(b"x"), None, EVERYTHING)
        assert found.entries == ()
        assert world.hub.asked.total() == 0

    async def test_the_catalog_is_what_is_here(self, world: World) -> None:
        await Plugin.make().at(world.hub)
        assert (await world.registry.list_repositories(EVERYTHING)).entries == ()
        await pull(world)
        assert (await world.registry.list_repositories(EVERYTHING)).entries == (NAME,)
