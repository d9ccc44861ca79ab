"""Plugins that are served to engines with a known vulnerability."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import pytest

from mirror.access.client import Client
from mirror.filters.authorize import AnonymousRights, Authorize
from mirror.filters.engine_gate import EngineViews
from mirror.filters.engine_tracking import EngineTracker
from mirror.oci import Manifest, Repository, Tag
from mirror.oci.errors import Denied, ManifestUnknown
from mirror.oci.media_types import OCI_INDEX
from mirror.plugin.policy.engine_vulnerabilities import Exposure, KnownEngines, Treatment
from mirror.records.hosts import Host
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Registry
from mirror.runtime.clock import SystemClock
from mirror.wire.user_agent import Engine
from tests.support.builders import push_image
from tests.support.served import REPOSITORY, TAG, put_plugin

OLD, NEW, UNREADABLE = Engine("26.1.5+dfsg1"), Engine("29.3.1"), Engine("dev")
OTHER = Repository("acme/image")


class World:
    def __init__(self, treatment: Treatment) -> None:
        self.registry = MemoryRegistry()
        self.counted: list[Exposure] = []
        self.views = EngineViews(
            EngineTracker(self._record, self.counted.append, SystemClock(), known=KnownEngines(), tells=False),
            treatment,
        )

    async def _record(self, _seen: Mapping[Host, datetime]) -> None:
        """Discard the record."""

    def seen_by(self, engine: Engine | None, registry: Registry | None = None) -> Registry:
        return self.views.view_for(Client(engine, address="192.0.2.7"), registry or self.registry)


@pytest.mark.parametrize(
    ("engine", "refused"),
    [
        (
            OLD,
            "Docker Engine 26.1.5[+]dfsg1 does not compare the first .* [(]CVE-2026-33997[)]; fix: upgrade",
        ),
        (UNREADABLE, "this engine reports the version 'dev', so it is unknown whether it has CVE-2026-33997"),
        (Engine(""), "this engine reports no readable version"),
        (NEW, None),
        (None, None),
    ],
)
async def test_an_affected_engine_is_refused_the_manifest_of_a_plugin(
    engine: Engine | None, refused: str | None
) -> None:
    world = World(Treatment.REFUSE)
    plugin = await put_plugin(world.registry)
    registry = world.seen_by(engine)
    # An answer to HEAD has no body for the reason.
    assert (await registry.resolve(REPOSITORY, TAG)).digest == plugin.digest
    for target in (TAG, plugin.digest):
        if refused is None:
            assert await registry.get_manifest(REPOSITORY, target) == plugin
        else:
            with pytest.raises(Denied, match=refused) as caught:
                await registry.get_manifest(REPOSITORY, target)
            assert caught.value.detail["cve"] == "CVE-2026-33997"
    assert len(world.counted) == (0 if engine is None else 2)


@pytest.mark.parametrize("treatment", [Treatment.ALLOW, Treatment.WARN])
async def test_others_are_counted_and_given_it(treatment: Treatment) -> None:
    world = World(treatment)
    plugin = await put_plugin(world.registry)
    for engine in (OLD, NEW, UNREADABLE, None):
        assert await world.seen_by(engine).get_manifest(REPOSITORY, TAG) == plugin
    assert world.counted == [Exposure.AFFECTED, Exposure.UNAFFECTED, Exposure.UNKNOWN]


async def test_images_are_for_all() -> None:
    world = World(Treatment.REFUSE)
    image = await push_image(world.registry, "an image", "1", repository=OTHER)
    assert await world.seen_by(OLD).get_manifest(OTHER, image.digest) == image
    assert world.counted == []


async def test_what_an_engine_may_take_for_a_plugin_is_one() -> None:
    world = World(Treatment.REFUSE)
    twice = b'{"schemaVersion": 2, "manifests": [], "Manifests": []}'
    ambiguous = Manifest.parse_stored(twice, OCI_INDEX)
    assert ambiguous.may_be_plugin
    await world.registry.put_manifest(OTHER, ambiguous, [TAG])
    with pytest.raises(Denied):
        await world.seen_by(OLD).get_manifest(OTHER, TAG)


async def test_rights_and_names_come_first() -> None:
    world = World(Treatment.REFUSE)
    await put_plugin(world.registry)
    nobody = Authorize(world.registry, AnonymousRights(frozenset()))
    with pytest.raises(Denied, match=r"pull of .* is not allowed here"):
        await world.seen_by(OLD, nobody).get_manifest(REPOSITORY, TAG)
    with pytest.raises(ManifestUnknown):
        await world.seen_by(OLD).get_manifest(REPOSITORY, Tag("absent"))
    assert world.counted == []


async def test_only_a_refusal_makes_answers_differ() -> None:
    for treatment in Treatment:
        views = World(treatment).views
        assert views.concerns(REPOSITORY, TAG)
        assert views.varies_by_client(REPOSITORY, TAG) is (treatment is Treatment.REFUSE)
