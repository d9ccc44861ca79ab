"""Routes from a local repository to the upstreams that it may be pulled from. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from mirror.oci import Repository
from mirror.oci.errors import ConfigurationFault, NameInvalid, UpstreamFault, UpstreamRefused
from mirror.oci.name_mapping import NameMapping
from mirror.registry.port import ReadLister

_MOST_REMEMBERED = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Upstream:
    """A registry that content is pulled through from.

    Attributes:
        name: what it is called in the configuration.
        registry: the registry.
        offline: whether it may not be asked.
    """

    name: str
    registry: ReadLister
    offline: bool = False


@dataclass(frozen=True, slots=True)
class ProxyRoute:
    """One upstream that a local repository may be pulled from.

    Attributes:
        upstream: the upstream.
        repository: its name at the upstream.
    """

    upstream: Upstream
    repository: Repository


@dataclass(frozen=True, slots=True)
class ProxyRule:
    """A pattern of local names that are pulled through.

    Attributes:
        upstream: the upstream that has them.
        names: maps local names to upstream names.
    """

    upstream: Upstream
    names: NameMapping

    @classmethod
    def parse(cls, upstream: Upstream, source: str, to: str) -> ProxyRule:
        """Read a rule as it is written.

        Args:
            upstream: the one that ``source`` begins with.
            source: ``UPSTREAM/REPOSITORY``, where ``*`` is one component and ``**`` the rest.
            to: the local repository, with the same ``*`` and ``**``.

        Raises:
            ConfigurationFault: either is outside the grammar.
        """
        try:
            return cls(upstream, NameMapping(to, source.partition("/")[2]))
        except ConfigurationFault as error:
            raise ConfigurationFault(f"proxy rule from {source} to {to}: {error}") from error


class Routes:
    """All proxy rules.

    Args:
        rules: the first that matches a name is asked first.
        reserved: patterns of names that never go upstream.

    Raises:
        ConfigurationFault: a pattern is outside the grammar.
    """

    def __init__(self, rules: Iterable[ProxyRule], reserved: Iterable[str] = ()) -> None:
        self._rules = tuple(rules)
        self._reserved = tuple(NameMapping(pattern, pattern) for pattern in reserved)
        self.of = lru_cache(maxsize=_MOST_REMEMBERED)(self._of)

    def _of(self, repository: Repository) -> tuple[ProxyRoute, ...]:
        """The routes of a repository, in the order in which their upstreams are asked; none: it is local."""
        if any(_apply(pattern, repository) for pattern in self._reserved):
            return ()
        found = ((rule.upstream, _apply(rule.names, repository)) for rule in self._rules)
        return tuple(dict.fromkeys(ProxyRoute(upstream, name) for upstream, name in found if name))


def _apply(names: NameMapping, repository: Repository) -> Repository | None:
    try:
        return names.apply(repository)
    except NameInvalid:  # no upstream can have a name of that length
        return None


def online(routes: tuple[ProxyRoute, ...]) -> tuple[ProxyRoute, ...]:
    """The routes whose upstream may be asked."""
    return tuple(route for route in routes if not route.upstream.offline)


def is_missing(error: UpstreamFault, repository: Repository, routes: tuple[ProxyRoute, ...]) -> bool:
    """Tell whether a failed pull is answered as if the content did not exist.

    Docker Hub refuses what does not exist. And a name that is the same at an upstream may be asked for by an engine
    that has us among its ``registry-mirrors``: up to 20.10 it goes on to its next registry after a 404 only.
    """
    return isinstance(error, UpstreamRefused) or any(route.repository == repository for route in routes)
