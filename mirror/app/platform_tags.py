"""Tags that stand for a plugin on every platform, as the settings have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mirror.filters.by_arch import ClientFaces
from mirror.filters.platform_tags import PlatformRule, PlatformTags
from mirror.oci.errors import NotFound
from mirror.oci.names import Repository, Tag
from mirror.registry.client import Faces
from mirror.settings import Settings
from mirror.store.registry import Store


def faces(settings: Settings) -> list[Faces]:
    """What tells clients apart that read tags which are not the same for all; empty where there are none."""
    rules = [section.rule() for section in settings.platform_tags]
    return [ClientFaces(PlatformTags(rules))] if rules else []


async def report(settings: Settings, store: Store) -> Mapping[str, object]:
    """``/api/v1/platform-tags``: the rules, and of those about one tag what it stands for now, as far as it is here."""
    return {
        "platform_tags": [
            {
                "name": section.name,
                "tag": section.tag,
                "platforms": section.platforms,
                "default": section.default,
                "now": await _now(section.rule(), store),
            }
            for section in settings.platform_tags
        ]
    }


async def _now(rule: PlatformRule, store: Store) -> dict[str, Any] | None:
    only = rule.only
    if only is None or rule.platforms is None:
        return None
    repository, tag = only
    return {
        architecture: await _digest(store, repository, rule.tag_for(tag, architecture))
        for architecture in rule.platforms
    }


async def _digest(store: Store, repository: Repository, tag: Tag | None) -> str | None:
    try:
        return None if tag is None else str((await store.resolve(repository, tag)).digest)
    except NotFound:
        return None
