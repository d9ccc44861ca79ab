"""Report ``GET /api/v1/platform-tags``: tags that give each engine the plugin for its platform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mirror.oci import Repository, Tag
from mirror.oci.errors import NotFound
from mirror.records.platform_rules import PlatformRule
from mirror.registry.port import Reader


@dataclass(frozen=True, slots=True)
class PlatformTagReport:
    """The report on platform tags.

    A rule for a single tag also shows the current digest for each platform; null if the registry does not hold it.

    Attributes:
        rules: the rules in the order of the configuration.
        registry: our own registry.
    """

    rules: Sequence[PlatformRule]
    registry: Reader

    async def give(self) -> Mapping[str, object]:
        """Return the report as plain values."""
        return {
            "platform_tags": [
                {
                    "name": rule.name.text,
                    "tag": rule.tag,
                    "platforms": "index" if rule.platforms is None else rule.platforms,
                    "default": rule.default,
                    "now": await self._now(rule),
                }
                for rule in self.rules
            ]
        }

    async def _now(self, rule: PlatformRule) -> dict[str, str | None] | None:
        # A rule with a pattern concerns any number of tags, and a rule for an index names no tags by platform.
        if rule.only is None or rule.platforms is None:
            return None
        repository, tag = rule.only
        return {name: await self._digest(repository, rule.tag_for(tag, name)) for name in rule.platforms}

    async def _digest(self, repository: Repository, tag: Tag | None) -> str | None:
        try:
            return None if tag is None else str((await self.registry.resolve(repository, tag)).digest)
        except NotFound:
            return None
