"""One tag, every platform: a wrapper that shows each engine the manifest that is for it."""

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
    """The registry as one client sees it. By digest everything is what it is.

    Args:
        inner: the registry behind.
        rules: what tags stand for.
        client: who asks.

    Reading a tag that a rule covers raises ManifestUnknown also where there is nothing for the client's architecture:
    a plugin for another one installs, and dies when it is enabled, without a word about why.
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
        """What is meant, and what there is to say about its age beside what it says itself."""
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
                await self.inner.resolve(repository, tag)  # whoever may not pull is told that, and no more
            raise _not_for(architecture, repository, tag, rule.platforms or ())
        return chosen

    async def _is_index(self, repository: Repository, tag: Tag) -> bool:
        try:
            return (await self.inner.resolve(repository, tag)).media_type in media_types.INDEXES
        except NotFound:
            return False  # nothing was ever pushed under the tag itself

    async def _of_index(
        self, repository: Repository, tag: Tag, rule: PlatformRule
    ) -> tuple[Tag | Digest, Staleness | None]:
        architecture = self._client.architecture or rule.default
        if architecture is None or self._client.wants_index:
            return tag, None
        # A plugin that is withheld must not make a refusal of HEAD, which has no words: its manifest is not read here.
        if (await self.inner.resolve(repository, tag)).media_type not in media_types.INDEXES:
            return tag, None
        index = await self.inner.get_manifest(repository, tag)
        if not index.manifests:
            return tag, None
        member = member_for(index.manifests, architecture)
        if member is None:
            raise _not_for(architecture, repository, tag, architectures(index.manifests))
        return member.digest, staleness_of(index)


class PlatformViews:
    """Implements :class:`mirror.access.client.ClientViews`.

    Args:
        rules: what tags stand for.
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
        f"{repository}:{tag} is not for {architecture}: it is there for {available}",
        name=repository,
        reference=tag,
        architecture=architecture,
    )
