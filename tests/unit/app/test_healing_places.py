"""Sources of damaged content: a bundle, the upstreams it came from, and the upstreams of rules that cover it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mirror.app.services import open_services
from mirror.app.storage.integrity.healing_places import HealingPlaces
from mirror.oci import Digest, Repository
from mirror.records.lifecycle.damage import ContentUse, OriginPlace, StoredContent
from mirror.settings import load
from tests.support.builders import push_image

CONTENT = StoredContent(Digest.of(b"content"), 7)
CAME_FROM = [OriginPlace("hub", Repository("vieux/sshfs"))]


async def found(folder: Path, use: ContentUse, *, pushed: Repository | None = None, **more: Any) -> list[str]:
    """Return the names of the sources of content."""
    url = "http://127.0.0.1:1"
    upstreams = {name: {"url": url, "plain_http": True} for name in ("hub", "other")} | more.pop("upstreams", {})
    settings = load(flags={"storage": {"path": str(folder / "data")}, "upstreams": upstreams, **more})
    async with open_services(settings) as services:
        if pushed is not None:
            await push_image(services.store, "one", "1", repository=pushed)
        return [source.name for source in await HealingPlaces(services).find(use, CONTENT)]


def used_in(name: str, *places: OriginPlace) -> ContentUse:
    return ContentUse([Repository(name)], False, [], places)


async def test_the_places_that_content_came_from_are_asked_first(tmp_path: Path) -> None:
    rules = {
        "proxy": [{"from": "other/**", "to": "**"}],
        "mirrors": [{"name": "a", "from": "other/store/*/*", "to": "*/*"}],
    }
    use = used_in("vieux/sshfs", *CAME_FROM)
    assert await found(tmp_path, use, **rules) == ["hub/vieux/sshfs", "other/store/vieux/sshfs", "other/vieux/sshfs"]


async def test_a_rule_that_does_not_cover_the_repository_is_no_source(tmp_path: Path) -> None:
    rules = {"proxy": [{"from": "other/**", "to": "cache/**"}]}
    assert await found(tmp_path, used_in("vieux/sshfs"), **rules) == []


@pytest.mark.parametrize(
    "key", [{"offline": True}, {"upstreams": {"hub": {"url": "https://h.example", "offline": True}}}]
)
async def test_no_upstream_is_asked_offline(tmp_path: Path, key: dict[str, Any]) -> None:
    assert await found(tmp_path, used_in("vieux/sshfs", *CAME_FROM), **key) == []


async def test_an_upstream_that_is_no_longer_configured_is_left_out(tmp_path: Path) -> None:
    gone = OriginPlace("gone", Repository("vieux/sshfs"))
    assert await found(tmp_path, used_in("vieux/sshfs", gone, *CAME_FROM)) == ["hub/vieux/sshfs"]


async def test_reserved_names_are_never_told_to_an_upstream(tmp_path: Path) -> None:
    rules = {"proxy": [{"from": "hub/**", "to": "**"}], "server": {"reserved": ["acme/**"]}}
    assert await found(tmp_path, used_in("acme/secret"), **rules) == []


async def test_names_of_pushed_repositories_are_never_told_to_an_upstream(tmp_path: Path) -> None:
    rules = {"proxy": [{"from": "hub/**", "to": "**"}]}
    ours = Repository("acme/secret")
    assert await found(tmp_path, used_in(ours.name), pushed=ours, **rules) == []
