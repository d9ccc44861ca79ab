"""Another name for what a registry holds: the same digest, and no bytes move."""

from __future__ import annotations

from dataclasses import dataclass

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import ConfigurationFault, NotFound
from mirror.registry.listing import all_tags
from mirror.registry.port import Reader, Registry
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.copy_engine import CopyDestination, CopySource, copy_graph
from mirror.transfer.progress_reporting import SilentProgress
from mirror.transfer.referrer_copies import copy_referrers
from mirror.transfer.tag_selection import companions
from mirror.wire.referrers_fallback import is_digest_tag


@dataclass(frozen=True, slots=True)
class Named:
    """A tag that was set.

    Attributes:
        digest: what it points to.
        before: what it pointed to before; None: it is new.
        advice: sentences for whoever set it.
    """

    digest: Digest
    before: Digest | None
    advice: tuple[str, ...] = ()


async def tag(registry: Registry, source: Repository, target: Tag | Digest, repository: Repository, name: Tag) -> Named:
    """Give a manifest another name, with all that it needs and with what refers to it.

    Args:
        registry: which holds it, and will hold it under the new name too.
        source, target: what it is called now.
        repository, name: what it is to be called as well; a tag that is there moves.

    Raises:
        ConfigurationFault: the name is kept for something else.
        Denied: the registry does not let it in under that name.
        ManifestUnknown, RepositoryUnknown: there is no such manifest. And whatever the registry raises.

    Cancelled, or failed, it leaves the tag as it was.
    """
    require_free(name)
    before = await digest_of(registry, repository, name)
    root = await registry.get_manifest(source, target)
    origin, destination, progress = (
        CopySource(registry, source),
        CopyDestination(registry, repository),
        SilentProgress(),
    )
    await copy_graph(origin, root.digest, destination, (), progress)
    if source != repository:
        await _bring_referrers(registry, origin, destination, root)
    return Named(root.digest, before, await registry.put_manifest(repository, root, [name]))


def require_free(name: Tag) -> None:
    """Raises ConfigurationFault: the tag is one of those under which signatures and the like are kept."""
    if is_digest_tag(name):
        raise ConfigurationFault(f"the tag {name} is kept for what refers to that digest: choose another")


async def digest_of(reader: Reader, repository: Repository, name: Tag) -> Digest | None:
    """What a tag points to; None where it is not there."""
    try:
        return (await reader.resolve(repository, name)).digest
    except NotFound:
        return None


async def _bring_referrers(
    registry: Registry, origin: CopySource, destination: CopyDestination, root: Manifest
) -> None:
    """Signatures and the like follow: those that refer to the content, and those that are tagged with its digest."""
    subjects = {root.digest, *(member.digest for member in root.manifests)}
    listed = [tag async for tag in all_tags(registry, origin.repository)]
    progress, locks = SilentProgress(), BlobLocks()
    for subject in subjects:
        await copy_referrers(registry, origin.repository, subject, destination, progress, listed=listed, locks=locks)
    for follower in companions(listed, subjects):
        await copy_graph(origin, follower, destination, [follower], progress)
