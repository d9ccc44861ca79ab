"""Held plugins are shown to users who may push them, and to no engine."""

from __future__ import annotations

from contextvars import copy_context

import pytest

from mirror.access.rights import AccessAction
from mirror.filters.admission.held_for_pushers import HeldForPushers
from mirror.filters.authorize import AnonymousRights
from mirror.oci import Manifest
from mirror.oci.errors import Denied
from mirror.plugin.policy.admission_policy import Policy
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.runtime.current_client import IS_ENGINE
from tests.support.admission import HERE, HOST, NO_ROOT, ROOT, TAG, World

PUSHER = AnonymousRights(frozenset({AccessAction.PULL, AccessAction.PUSH}))
PULLER = AnonymousRights(frozenset({AccessAction.PULL}))


@pytest.fixture
async def held(world: World) -> Manifest:
    world.follow(Policy([NO_ROOT], PolicyAction.HOLD))
    return (await world.push(HOST))[0]


def seen_by(world: World, rights: AnonymousRights) -> HeldForPushers:
    return HeldForPushers(world.registry, world.with_held, rights)


async def test_who_may_push_reads_what_is_held(world: World, held: Manifest) -> None:
    registry = seen_by(world, PUSHER)
    assert await registry.get_manifest(HERE, TAG) == held
    assert held.config is not None
    assert await registry.stat_pullable_blob(HERE, held.config.digest)
    async with registry.open_blob(HERE, held.config.digest) as blob:
        assert blob.size_bytes == held.config.size_bytes


async def test_who_may_only_pull_does_not(world: World, held: Manifest) -> None:
    registry = seen_by(world, PULLER)
    assert held.config is not None
    with pytest.raises(Denied):
        await registry.get_manifest(HERE, TAG)
    with pytest.raises(Denied):
        await registry.stat_pullable_blob(HERE, held.config.digest)
    with pytest.raises(Denied):
        async with registry.open_blob(HERE, held.config.digest):
            pass


async def test_no_engine_does(world: World, held: Manifest) -> None:
    context = copy_context()
    context.run(IS_ENGINE.set, True)
    registry = seen_by(world, PUSHER)
    with pytest.raises(Denied):
        # A coroutine runs in the context of its task, so the choice is made in the context of an engine.
        await context.run(registry._of, HERE).get_manifest(HERE, TAG)


async def test_what_is_denied_or_rejected_stays_away(world: World, held: Manifest) -> None:
    registry = seen_by(world, PUSHER)
    await world.decide(held, approved=False)
    with pytest.raises(Denied, match="was rejected by alice"):
        await registry.get_manifest(HERE, TAG)
    world.follow(None)
    root = await world.manifest(ROOT)
    await world.store.put_manifest(HERE, root, [TAG])
    world.follow(Policy([NO_ROOT], PolicyAction.HOLD))
    with pytest.raises(Denied, match="is denied by the rule 'no-root'"):
        await seen_by(world, PUSHER).get_manifest(HERE, TAG)
