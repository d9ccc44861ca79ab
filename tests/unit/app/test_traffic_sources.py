"""The source that the configuration has for a repository."""

from __future__ import annotations

import pytest

from mirror.app.numbers.traffic import NO_SOURCE, TrafficSources
from mirror.oci import Repository
from mirror.records.lifecycle.storage_numbers import TrafficSource
from mirror.settings import load

SOURCES = TrafficSources(
    load(
        flags={
            "upstreams": {name: {"url": f"https://{name}.example"} for name in ("hub", "backup")},
            "mirrors": [{"name": "contiv", "from": "hub/store/contiv/*", "to": ["contiv/*", "site/*"]}],
            "proxy": [
                {"from": "hub/store/*/*", "to": "*/*"},
                {"from": "backup/x/**", "to": "**"},
                {"from": f"backup/{'x' * 200}/*/*/*", "to": "*/*/*"},
            ],
        }
    )
)


@pytest.mark.parametrize(
    ("name", "upstream", "source"),
    [
        ("contiv/v2plugin", None, TrafficSource("hub", "contiv")),
        ("site/v2plugin", None, TrafficSource("hub", "contiv")),
        ("vieux/sshfs", None, TrafficSource("hub", "*/*")),
        ("alone", None, TrafficSource("backup", "**")),
        # Pull-through of a name that a rule mirrors too.
        ("contiv/v2plugin", "hub", TrafficSource("hub", "*/*")),
        ("vieux/sshfs", "backup", TrafficSource("backup", "**")),
        ("vieux/sshfs", "gone", TrafficSource("gone", "")),
        ("a/b/" + "c" * 100, "backup", TrafficSource("backup", "**")),
    ],
)
def test_the_source(name: str, upstream: str | None, source: TrafficSource) -> None:
    assert SOURCES.of(Repository(name), upstream) == source


def test_content_without_a_rule_has_no_source() -> None:
    assert TrafficSources(load()).of(Repository("a"), None) == NO_SOURCE
