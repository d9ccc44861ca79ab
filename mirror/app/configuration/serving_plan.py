"""Needs of a serving process according to its settings: rules, upstreams and limits."""

from __future__ import annotations

import resource
from typing import Final

from mirror.server.http.server_limits import ServerLimits
from mirror.settings import Settings
from mirror.sync.rule import MirrorRule

#: Connections to upstreams get at most this part of the file descriptors.
_UPSTREAM_SHARE: Final = 8


def scheduled_rules(settings: Settings) -> list[MirrorRule]:
    """Return the rules with a schedule, without rules of offline upstreams, which could only fail."""
    rules = [section.rule() for section in settings.mirrors]
    offline = {name for name, section in settings.upstreams.items() if settings.offline or section.offline}
    return [rule for rule in rules if rule.schedule is not None and rule.source not in offline]


def opened_upstreams(settings: Settings) -> list[str]:
    """Return the names of the upstreams that a worker may have to ask."""
    return sorted(
        {rule.source for rule in scheduled_rules(settings)} | {section.upstream for section in settings.proxy}
    )


def limits_of(settings: Settings) -> ServerLimits:
    """Return the limits that the server sets for its clients, as far as the limit of open files allows them."""
    limits = ServerLimits(**settings.server.limits.of_clients(), shutdown_seconds=settings.server.shutdown_seconds)
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return limits
    asked = sum(settings.upstreams[name].limits.connections for name in opened_upstreams(settings))
    return limits.within(descriptors - min(asked, descriptors // _UPSTREAM_SHARE))
