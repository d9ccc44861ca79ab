"""Rights to pull, push and delete, enforced around a registry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import pytest

from mirror.access.rights import AccessAction, Rights
from mirror.filters.authorize import AnonymousRights, Authorize
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, Denied, MirrorError, RightMissing, Unsupported
from mirror.oci.media_types import OCI_INDEX, OCTET_STREAM
from mirror.oci.name_pattern import NameSpan
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Registry
from mirror.registry.streams import single_chunk
from mirror.wire.pagination import PageRequest

A, B = Repository("a"), Repository("b")
CONTENT = b"content"
DIGEST = Digest.of(CONTENT)
INDEX = Manifest.parse(b'{"schemaVersion": 2, "manifests": []}', OCI_INDEX)
TAG = Tag("1.0")
PAGE = PageRequest()
ALL = frozenset(AccessAction)


async def put_blob(registry: Registry, repository: Repository = A) -> None:
    upload = await registry.begin_upload(repository)
    await upload.append(single_chunk(CONTENT))
    await upload.commit(DIGEST)


@pytest.fixture
async def inner() -> MemoryRegistry:
    registry = MemoryRegistry()
    await put_blob(registry)
    await registry.put_manifest(A, INDEX, [TAG])
    return registry


async def opened(registry: Registry) -> None:
    async with registry.open_blob(A, DIGEST):
        pass


async def resumed(registry: Registry) -> None:
    upload = await registry.begin_upload(A)
    await registry.resume_upload(A, upload.id)


CALLS: list[tuple[AccessAction, Callable[[Registry], Awaitable[object]]]] = [
    (AccessAction.PULL, lambda registry: registry.resolve(A, TAG)),
    (AccessAction.PULL, lambda registry: registry.get_manifest(A, INDEX.digest)),
    (AccessAction.PULL, lambda registry: registry.stat_blob(A, DIGEST)),
    (AccessAction.PULL, lambda registry: registry.stat_pullable_blob(A, DIGEST)),
    (AccessAction.PULL, opened),
    (AccessAction.PULL, lambda registry: registry.list_tags(A, PAGE)),
    (AccessAction.PULL, lambda registry: registry.list_referrers(A, DIGEST, None, PAGE)),
    (AccessAction.PUSH, lambda registry: registry.begin_upload(A)),
    (AccessAction.PUSH, resumed),
    (AccessAction.PUSH, lambda registry: registry.mount_blob(B, DIGEST, A)),
    (AccessAction.PUSH, lambda registry: registry.put_manifest(A, INDEX)),
    (AccessAction.DELETE, lambda registry: registry.delete_tag(A, TAG)),
    (AccessAction.DELETE, lambda registry: registry.delete_manifest(A, INDEX.digest)),
    (AccessAction.DELETE, lambda registry: registry.delete_blob(A, DIGEST)),
]


@pytest.mark.parametrize(("action", "call"), CALLS)
async def test_what_is_allowed_goes_through(
    inner: MemoryRegistry, action: AccessAction, call: Callable[[Registry], Awaitable[object]]
) -> None:
    await call(Authorize(inner, AnonymousRights(frozenset({action}))))


@pytest.mark.parametrize(("action", "call"), CALLS)
async def test_what_is_not_allowed_does_not(
    inner: MemoryRegistry, action: AccessAction, call: Callable[[Registry], Awaitable[object]]
) -> None:
    with pytest.raises(Unsupported if action is AccessAction.DELETE else Denied):
        await call(Authorize(inner, AnonymousRights(ALL - {action})))


@pytest.mark.parametrize(
    ("allowed", "action", "setting"),
    [
        ({AccessAction.PULL}, AccessAction.PUSH, "server.anonymous: [pull, push]"),
        (set(), AccessAction.PULL, "server.anonymous: [pull]"),
        ({AccessAction.PULL, AccessAction.PUSH}, AccessAction.DELETE, "server.anonymous: [pull, push, delete]"),
    ],
)
def test_a_refusal_says_which_setting_allows_it(allowed: set[AccessAction], action: AccessAction, setting: str) -> None:
    assert str(AnonymousRights(frozenset(allowed)).refusal(action, A)).endswith(setting)


@pytest.mark.parametrize("action", list(AccessAction))
def test_a_refusal_says_that_a_certificate_would_help(action: AccessAction) -> None:
    refusal = AnonymousRights(frozenset(), clients_may=ALL).refusal(action, A)
    assert isinstance(refusal, RightMissing)
    assert "a client certificate" in str(refusal)
    assert str(refusal).endswith("with this right by a rule under access: in the configuration")


def test_where_only_clients_may_pull_nobody_else_gets_a_list() -> None:
    assert AnonymousRights(frozenset(), clients_may=frozenset({AccessAction.PULL})).listing is None
    pulling = frozenset({AccessAction.PULL})
    assert AnonymousRights(pulling, clients_may=pulling).listing is not None


@dataclass
class Named:
    """Rights to pull from the named repositories and to push to all."""

    names: set[str]

    def allows(self, action: AccessAction, repository: Repository | None) -> bool:
        return action is AccessAction.PUSH or (repository is not None and repository.name in self.names)

    def basis(self, action: AccessAction, repository: Repository | None) -> str:
        return "this test"

    def spans(self, action: AccessAction) -> Sequence[NameSpan]:
        return (NameSpan(),)

    @property
    def listing(self) -> Rights:
        return self

    def refusal(self, action: AccessAction, repository: Repository) -> MirrorError:
        return Denied(f"no {action.value} of {repository}")


@pytest.mark.parametrize(
    ("actions", "found"),
    [({AccessAction.PULL}, True), ({AccessAction.PULL, AccessAction.DELETE}, True), (ALL, False)],
)
async def test_a_client_that_may_push_finds_only_what_is_held(actions: set[AccessAction], found: bool) -> None:
    class Fetching(MemoryRegistry):
        """A registry that can fetch a blob which it does not hold."""

        async def stat_pullable_blob(self, repository: Repository, digest: Digest) -> Descriptor:
            return Descriptor(OCTET_STREAM, digest, 7)

    registry = Authorize(Fetching(), AnonymousRights(frozenset(actions)))
    if found:
        assert (await registry.stat_blob(A, DIGEST)).size_bytes == 7
    else:
        with pytest.raises(BlobUnknown):
            await registry.stat_blob(A, DIGEST)


@pytest.mark.parametrize(("names", "source", "mounted"), [({"a"}, A, True), (set(), A, False), ({"a"}, None, False)])
async def test_a_mount_reveals_nothing_that_may_not_be_read(
    inner: MemoryRegistry, names: set[str], source: Repository | None, mounted: bool
) -> None:
    registry = Authorize(inner, Named(names))
    assert (await registry.mount_blob(B, DIGEST, source) is not None) == mounted


async def test_a_mount_from_anywhere_where_everything_may_be_read(inner: MemoryRegistry) -> None:
    registry = Authorize(inner, AnonymousRights(ALL))
    assert await registry.mount_blob(B, DIGEST, None) is not None


@pytest.mark.parametrize("size", [1, 2, 3, 10])
async def test_the_catalog_lists_what_may_be_read_in_full_pages(inner: MemoryRegistry, size: int) -> None:
    names = {"b", "c/d", "f", "h"}
    for name in "bcdefgh":
        await put_blob(inner, Repository(name))
    await put_blob(inner, Repository("c/d"))
    registry = Authorize(inner, Named(names))
    pages: list[list[str]] = []
    page = PageRequest(size)
    while True:
        found = await registry.list_repositories(page)
        pages.append([each.name for each in found.entries])
        if not found.more:
            break
        page = PageRequest(size, pages[-1][-1])
    assert [each for each_page in pages for each in each_page] == sorted(names)
    assert {len(each) for each in pages[:-1]} <= {size}
    assert pages[-1]


async def test_the_catalog_of_one_who_may_read_all_is_the_whole(inner: MemoryRegistry) -> None:
    await put_blob(inner, B)
    assert (await Authorize(inner, AnonymousRights(ALL)).list_repositories(PAGE)).entries == (A, B)


async def test_the_catalog_of_one_who_may_read_nothing_is_empty(inner: MemoryRegistry) -> None:
    assert (await Authorize(inner, Named(set())).list_repositories(PAGE)).entries == ()


@pytest.mark.parametrize("actions", [frozenset(), frozenset({AccessAction.PUSH})])
async def test_where_nobody_may_pull_without_a_login_there_is_no_list(
    inner: MemoryRegistry, actions: frozenset[AccessAction]
) -> None:
    with pytest.raises(RightMissing):
        await Authorize(inner, AnonymousRights(actions)).list_repositories(PageRequest(0))
