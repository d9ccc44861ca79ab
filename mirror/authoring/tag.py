"""Give content of a registry another name: the same digest, and no bytes are copied."""

from __future__ import annotations

from dataclasses import dataclass

from mirror.authoring.naming import notes_on_name
from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import ConfigurationFault, NotFound, UpstreamProtocolError
from mirror.records.absent_content import AbsentContents
from mirror.records.admission.arrivals import ContentSource, coming_from
from mirror.registry.listing import all_tags
from mirror.registry.port import Reader, Registry
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.copy_engine import copy_graph
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import SilentProgress
from mirror.transfer.referrer_copies import copy_referrers
from mirror.transfer.tags.tag_selection import companions
from mirror.wire.referrers_fallback import is_digest_tag


@dataclass(frozen=True, slots=True)
class Named:
    """A tag that was set.

    Attributes:
        digest: digest that the tag points to.
        before: digest that the tag pointed to before. None if the tag is new.
        advice: sentences for the user.
    """

    digest: Digest
    before: Digest | None
    advice: tuple[str, ...] = ()


async def tag(
    registry: Registry,
    source: Repository,
    target: Tag | Digest,
    repository: Repository,
    name: Tag,
    *,
    absent: AbsentContents | None = None,
) -> Named:
    """Give a manifest another name, together with the content that it needs and its referrers.

    If the call is cancelled or fails, the tag keeps its earlier target.

    Args:
        registry: registry of the manifest and of the new name.
        source: present repository of the manifest.
        target: present tag of the manifest, or its digest.
        repository: repository of the additional name.
        name: tag of the additional name. An existing tag moves.
        absent: records of the content that the repositories lack. None if nothing may be missing.

    Raises:
        ConfigurationFault: the tag is reserved for referrers.
        Denied: the policy denies the plugin under the new name.
        ManifestUnknown, RepositoryUnknown: the manifest does not exist.
        MirrorError: any error of the registry.
    """
    require_free(name)
    before = await digest_of(registry, repository, name)
    root = await registry.get_manifest(source, target)
    origin, destination, progress = (
        CopySource(registry, source, absent),
        CopyDestination(registry, repository, absent=absent),
        SilentProgress(),
    )
    # Within a repository nothing has to be copied: content and referrers stay the same.
    if source != repository:
        with coming_from(ContentSource("", source)):
            await copy_graph(origin, root.digest, destination, (), progress)
        await _bring_referrers(registry, origin, destination, root)
    # The tag comes last, so that it never points to a manifest whose content is incomplete.
    advice = await registry.put_manifest(repository, root, [name])
    return Named(root.digest, before, (*advice, *await notes_on_name(registry, repository, root, name)))


def require_free(name: Tag) -> None:
    """Check that a tag is not reserved for referrers.

    Raises:
        ConfigurationFault: the tag is one under which signatures and other referrers are stored.
    """
    if is_digest_tag(name):
        raise ConfigurationFault(f"the tag {name} is reserved for referrers of that digest; fix: choose another tag")


async def digest_of(reader: Reader, repository: Repository, name: Tag) -> Digest | None:
    """Return the digest that a tag points to, or None if the tag does not exist."""
    try:
        return (await reader.resolve(repository, name)).digest
    except NotFound:
        return None


async def _bring_referrers(
    registry: Registry, origin: CopySource, destination: CopyDestination, root: Manifest
) -> None:
    """Copy signatures and other referrers of a manifest.

    They are the manifests with a subject, and those whose tag contains the digest of the subject.
    """
    # A signature may be of an index as a whole, or of one of its members.
    subjects = {root.digest, *(member.digest for member in root.manifests)}
    listed = [tag async for tag in all_tags(registry, origin.repository)]
    progress, locks = SilentProgress(), BlobLocks()
    for subject in subjects:
        copied = await copy_referrers(
            registry, origin.repository, subject, destination, progress, listed=listed, locks=locks
        )
        if copied.warnings:
            raise UpstreamProtocolError("; ".join(copied.warnings))
    for follower in companions(listed, subjects):
        await copy_graph(origin, follower, destination, [follower], progress)
