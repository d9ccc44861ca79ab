"""Places that may have whole bytes of damaged content: a bundle, and upstreams of the configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from mirror.app.services import Services
from mirror.bundle.reader import BundleReader
from mirror.lifecycle.healing import HealingSource
from mirror.oci import Repository
from mirror.oci.errors import NameInvalid
from mirror.oci.name_mapping import NameMapping
from mirror.records.lifecycle.damage import ContentUse, OriginPlace, StoredContent
from mirror.transfer.graph.places import CopySource


class HealingPlaces:
    """Finds sources of damaged content.

    Args:
        services: the store, and the upstreams of the configuration. No offline upstream is asked.
        bundle: a bundle that is asked first; None for none.
    """

    def __init__(self, services: Services, bundle: BundleReader | None = None) -> None:
        self._services = services
        self._bundle = bundle

    async def find(self, use: ContentUse, content: StoredContent) -> Sequence[HealingSource]:
        """Return the sources in the order in which they are asked."""
        found = [source async for source in self._in_bundle(content)] if self._bundle is not None else []
        settings = self._services.settings
        places = dict.fromkeys(use.places)
        for repository in use.repositories:
            places |= dict.fromkeys([place async for place in self._configured(repository)])
        for place in places:
            section = settings.upstreams.get(place.upstream)
            if section is None or section.offline or settings.offline:
                continue
            upstream = (await self._services.upstreams([place.upstream]))[place.upstream]
            found.append(HealingSource(f"{place.upstream}/{place.source}", CopySource(upstream, place.source)))
        return found

    async def _in_bundle(self, content: StoredContent) -> AsyncIterator[HealingSource]:
        if self._bundle is None:
            return
        for repository in dict.fromkeys(named.repository for named in self._bundle.head.names):
            held = await self._bundle.content(repository)
            if content.digest in held.blobs or content.digest in held.manifests:
                yield HealingSource(self._bundle.source.name, CopySource(self._bundle, repository))
                return

    async def _configured(self, repository: Repository) -> AsyncIterator[OriginPlace]:
        """Yield the upstream repositories that rules map to a local repository."""
        settings = self._services.settings
        for rule in (section.rule() for section in settings.mirrors):
            for mapping in rule.names:
                for source in _applied(NameMapping(mapping.target, mapping.source), repository):
                    yield OriginPlace(rule.source, source)
        # As for pulls: such names are never asked of an upstream.
        if any(NameMapping(name, name).covers(repository) for name in settings.server.reserved):
            return
        if settings.proxy and not await self._services.store.records.origins.is_ours(repository):
            for section in settings.proxy:
                for source in _applied(NameMapping(section.to, section.source.partition("/")[2]), repository):
                    yield OriginPlace(section.upstream, source)


def _applied(mapping: NameMapping, repository: Repository) -> Iterator[Repository]:
    try:
        source = mapping.apply(repository)
    except NameInvalid:  # too long, so no upstream has it
        return
    if source is not None:
        yield source
