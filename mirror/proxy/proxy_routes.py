"""Routes from a local repository to the upstreams from which it may be pulled. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from mirror.oci import Repository
from mirror.oci.errors import ConfigurationFault, NameInvalid, UpstreamFault, UpstreamRefused
from mirror.oci.name_mapping import NameMapping
from mirror.oci.platform_selection import ImagePlatform, PlatformSelection
from mirror.records.absent_content import AbsenceReason, AbsentContent
from mirror.registry.port import ReadLister

# Remembers matched names, because every request matches. Clients choose the names, so the memory is bounded.
_MOST_REMEMBERED = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Upstream:
    """Registry from which content is pulled through.

    Attributes:
        name: name of the upstream in the configuration.
        registry: client of the registry.
        offline: True if the configuration forbids requests to the upstream.
    """

    name: str
    registry: ReadLister
    offline: bool = False


@dataclass(frozen=True, slots=True)
class ProxyRoute:
    """Upstream from which a local repository may be pulled.

    Attributes:
        upstream: the upstream.
        repository: name of the repository at the upstream.
        platforms: selection of the members of indexes. None to pull all.
    """

    upstream: Upstream
    repository: Repository
    platforms: PlatformSelection | None = None

    def takes(self, absent: AbsentContent) -> bool:
        """Return False if the route leaves out a member of an index that is recorded as left out."""
        if absent.reason is not AbsenceReason.PLATFORM or self.platforms is None:
            return True
        return self.platforms.takes(ImagePlatform.parse(absent.detail))


@dataclass(frozen=True, slots=True)
class ProxyRule:
    """Pattern of local repositories that are pulled through from one upstream.

    Attributes:
        upstream: upstream of the repositories.
        names: mapping from local names to names at the upstream.
        platforms: selection of the members of indexes. None to pull all.
    """

    upstream: Upstream
    names: NameMapping
    platforms: PlatformSelection | None = None

    @classmethod
    def parse(cls, upstream: Upstream, source: str, to: str, platforms: Iterable[str] = ()) -> ProxyRule:
        """Return the rule as written in the configuration.

        Args:
            upstream: upstream that ``source`` begins with.
            source: ``UPSTREAM/REPOSITORY``. ``*`` matches one component, and ``**`` matches the rest.
            to: pattern of local repositories with the same ``*`` and ``**``.
            platforms: platforms of the members of indexes to pull, such as ``linux/amd64``. Empty for all.

        Raises:
            ConfigurationFault: a text is outside its grammar.
        """
        try:
            return cls(upstream, NameMapping(to, source.partition("/")[2]), PlatformSelection.parse(platforms))
        except ConfigurationFault as error:
            raise ConfigurationFault(f"proxy rule from {source} to {to}: {error}") from error


class Routes:
    """Routes of all proxy rules.

    Args:
        rules: proxy rules in the order in which upstreams are asked.
        reserved: patterns of local repositories that are never looked for at an upstream.

    Raises:
        ConfigurationFault: a pattern is outside the grammar.
    """

    def __init__(self, rules: Iterable[ProxyRule], reserved: Iterable[str] = ()) -> None:
        self._rules = tuple(rules)
        self._reserved = tuple(NameMapping(pattern, pattern) for pattern in reserved)
        self.of = lru_cache(maxsize=_MOST_REMEMBERED)(self._of)

    def _of(self, repository: Repository) -> tuple[ProxyRoute, ...]:
        """Return the routes of a repository in the order of the rules.

        An empty tuple means that the repository is local.
        """
        if any(_apply(pattern, repository) for pattern in self._reserved):
            return ()
        found: dict[tuple[Upstream, Repository], ProxyRoute] = {}
        for rule in self._rules:
            if name := _apply(rule.names, repository):
                found.setdefault((rule.upstream, name), ProxyRoute(rule.upstream, name, rule.platforms))
        return tuple(found.values())


def _apply(names: NameMapping, repository: Repository) -> Repository | None:
    try:
        return names.apply(repository)
    except NameInvalid:  # the mapped name is too long, so no upstream can have it
        return None


def online(routes: tuple[ProxyRoute, ...]) -> tuple[ProxyRoute, ...]:
    """Return the routes to upstreams that may be asked."""
    return tuple(route for route in routes if not route.upstream.offline)


def is_missing(error: UpstreamFault, repository: Repository, routes: tuple[ProxyRoute, ...]) -> bool:
    """Return True if a failed pull is answered as if the content did not exist.

    Docker Hub refuses access to content that does not exist, so a refusal counts as missing. A repository with the same
    name at an upstream counts as missing too. An engine that lists this mirror in ``registry-mirrors`` may request such
    a name, and engines up to 20.10 go on to their next registry after a 404 only.
    """
    return isinstance(error, UpstreamRefused) or any(route.repository == repository for route in routes)
