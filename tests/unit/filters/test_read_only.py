"""A registry that serves and changes nothing."""

from collections.abc import Awaitable, Callable

import pytest

from mirror.access.rights import AccessAction
from mirror.filters.authorize import AnonymousRights, Authorize
from mirror.filters.read_only import ReadOnly
from mirror.oci import Digest, Tag
from mirror.oci.errors import RightMissing, Unsupported
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Registry
from tests.support.builders import REPOSITORY
from tests.support.served import LAYER, MANIFEST, TAG, put_plugin

CHANGES: dict[str, Callable[[Registry], Awaitable[object]]] = {
    "begin_upload": lambda registry: registry.begin_upload(REPOSITORY),
    "resume_upload": lambda registry: registry.resume_upload(REPOSITORY, "1"),
    "mount_blob": lambda registry: registry.mount_blob(REPOSITORY, Digest.of(LAYER), None),
    "delete_tag": lambda registry: registry.delete_tag(REPOSITORY, TAG),
    "delete_manifest": lambda registry: registry.delete_manifest(REPOSITORY, Digest.of(MANIFEST)),
    "delete_blob": lambda registry: registry.delete_blob(REPOSITORY, Digest.of(LAYER)),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_refused_with_the_reason(change: str) -> None:
    with pytest.raises(Unsupported, match="this registry is read-only") as told:
        await CHANGES[change](ReadOnly(MemoryRegistry()))
    assert told.value.detail["allowed"] == "GET, HEAD"


async def test_a_manifest_is_not_taken_and_what_is_held_is_served() -> None:
    inner = MemoryRegistry()
    await put_plugin(inner)
    registry = ReadOnly(inner)
    manifest = await registry.get_manifest(REPOSITORY, TAG)
    with pytest.raises(Unsupported):
        await registry.put_manifest(REPOSITORY, manifest, [Tag("new")])
    async with registry.open_blob(REPOSITORY, Digest.of(LAYER)) as blob:
        assert b"".join([chunk async for chunk in blob]) == LAYER


def test_the_reason_comes_before_a_missing_right() -> None:
    registry = ReadOnly(Authorize(MemoryRegistry(), AnonymousRights(frozenset())))
    for action in (AccessAction.PUSH, AccessAction.DELETE):
        with pytest.raises(Unsupported, match="read-only"):
            registry.require(action, REPOSITORY)
    with pytest.raises(RightMissing):
        registry.require(AccessAction.PULL, REPOSITORY)
    ReadOnly(MemoryRegistry()).require(AccessAction.PULL, REPOSITORY)
