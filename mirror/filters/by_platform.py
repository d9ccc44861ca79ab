"""Platform tags: a wrapper that shows each engine the manifest for its platform under one tag."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from mirror.access.client import Client
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import ManifestUnknown, NotFound
from mirror.oci.platform_selection import architectures, member_for
from mirror.records.platform_rules import PlatformRule, PlatformTags
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.port import Registry
from mirror.registry.staleness import StaleDescriptor, StaleManifest, Staleness, staleness_of


class ByPlatform(DelegatingRegistry):
    """The registry as one client sees it. Reads by digest are not changed.

    Reading a tag covered by a rule also raises ManifestUnknown if there is no plugin for the client's architecture.
    An engine would install a plugin for another architecture. The plugin would then die when enabled, without an
    explanation.

    Args:
        inner: the wrapped registry.
        rules: rules of the platform tags.
        client: client that reads.
    """

    def __init__(self, inner: Registry, rules: PlatformTags, client: Client) -> None:
        super().__init__(inner)
        self._rules = rules
        self._client = client

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        chosen, staleness = await self._chosen(repository, target)
        found = await self.inner.resolve(repository, chosen)
        if staleness is None:
            return found
        return StaleDescriptor(found.media_type, found.digest, found.size_bytes, staleness=staleness)

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        chosen, staleness = await self._chosen(repository, target)
        found = await self.inner.get_manifest(repository, chosen)
        return found if staleness is None else StaleManifest.of(found, staleness)

    async def _chosen(self, repository: Repository, target: Tag | Digest) -> tuple[Tag | Digest, Staleness | None]:
        """Return the tag or digest to read for this client, and the staleness to add to the answer."""
        if isinstance(target, Digest) or (rule := self._rules.of(repository, target)) is None:
            return target, None
        if rule.platforms is None:
            return await self._of_index(repository, target, rule)
        return await self._of_tags(repository, target, rule), None

    async def _of_tags(self, repository: Repository, tag: Tag, rule: PlatformRule) -> Tag:
        architecture = self._client.architecture or rule.default
        if architecture is None or (self._client.wants_index and await self._is_index(repository, tag)):
            return tag
        chosen = rule.tag_for(tag, architecture)
        if chosen is None:
            with suppress(NotFound):
                # Check the right to pull first: without it, the caller must not learn the platforms.
                await self.inner.resolve(repository, tag)
            raise _not_for(architecture, repository, tag, rule.platforms or ())
        return chosen

    async def _is_index(self, repository: Repository, tag: Tag) -> bool:
        try:
            return (await self.inner.resolve(repository, tag)).media_type in media_types.INDEXES
        except NotFound:
            return False  # the tag itself need not exist: only the tags of the platforms have to

    async def _of_index(
        self, repository: Repository, tag: Tag, rule: PlatformRule
    ) -> tuple[Tag | Digest, Staleness | None]:
        architecture = self._client.architecture or rule.default
        if architecture is None or self._client.wants_index:
            return tag, None
        # Do not read the manifest of a plugin here: if the plugin is withheld, the error would reach the client on HEAD
        # already, whose answer cannot carry a reason (ADR 16).
        if (await self.inner.resolve(repository, tag)).media_type not in media_types.INDEXES:
            return tag, None
        index = await self.inner.get_manifest(repository, tag)
        if not index.manifests:
            return tag, None
        member = member_for(index.manifests, architecture)
        if member is None:
            raise _not_for(architecture, repository, tag, architectures(index.manifests))
        # If the index may be out of date, so may the choice of its member.
        return member.digest, staleness_of(index)


class PlatformViews:
    """Views for platform tags. Implements :class:`mirror.access.client.ClientViews`.

    Args:
        rules: rules of the platform tags.
    """

    def __init__(self, rules: PlatformTags) -> None:
        self._rules = rules

    def concerns(self, repository: Repository, target: Tag | Digest) -> bool:
        return isinstance(target, Tag) and self._rules.of(repository, target) is not None

    varies_by_client = concerns

    def view_for(self, client: Client, registry: Registry) -> Registry:
        return ByPlatform(registry, self._rules, client)


def _not_for(architecture: str, repository: Repository, tag: Tag, known: Collection[str]) -> ManifestUnknown:
    available = ", ".join(known) or "no platform"
    return ManifestUnknown(
        f"{repository}:{tag} is not available for {architecture}; available for: {available}",
        name=repository,
        reference=tag,
        architecture=architecture,
    )
