"""Counting of traffic in a serving process, built from the settings."""

from __future__ import annotations

from mirror.lifecycle.traffic_counter import TrafficCounter
from mirror.oci import Repository
from mirror.oci.errors import NameInvalid
from mirror.oci.name_mapping import NameMapping
from mirror.records.lifecycle.storage_numbers import TrafficSource
from mirror.settings import Settings
from mirror.store.registry import Store

#: Source of repositories for which the configuration has no upstream: their content was pushed or imported.
NO_SOURCE = TrafficSource("", "")


class TrafficSources:
    """Configured sources of repositories.

    Args:
        settings: mirror rules and proxy rules.
    """

    def __init__(self, settings: Settings) -> None:
        self._rules = [section.rule() for section in settings.mirrors]
        self._proxied = [
            (section.upstream, section.to, NameMapping(section.to, section.source.partition("/")[2]))
            for section in settings.proxy
        ]

    def of(self, repository: Repository, upstream: str | None = None) -> TrafficSource:
        """Return the source of a repository: the first mirror rule that may bring tags to it, or the first proxy rule.

        Args:
            repository: the repository.
            upstream: the upstream from which pull-through fetched a blob; None for any source.
        """
        if upstream is None:
            for rule in self._rules:
                if any(_covers(mapping.target, mapping.source, repository) for mapping in rule.names):
                    return TrafficSource(rule.source, rule.name)
        for name, to, names in self._proxied:
            if upstream in {None, name} and _covers(names.source, names.target, repository):
                return TrafficSource(name, to)
        return NO_SOURCE if upstream is None else TrafficSource(upstream, "")


def traffic_counter(settings: Settings, store: Store) -> TrafficCounter:
    """Return the counter of a serving process. Its amounts go to the records of the store."""
    return TrafficCounter(TrafficSources(settings).of, store.records.traffic.add)


def _covers(local: str, source: str, repository: Repository) -> bool:
    """Return True if a pattern of local names matches a repository, and its name at the source is not too long."""
    try:
        return NameMapping(local, source).apply(repository) is not None
    except NameInvalid:
        return False
