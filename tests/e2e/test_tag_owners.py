"""Owners of tags with real registries: rules that change, rules that meet, pushes, and pull-through after a rule."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import plugins
from tests.harness.docker_registry import DockerRegistry
from tests.harness.mirror import Mirror, plugin_mirror
from tests.harness.packing import MANIFEST_TYPE, PackedPlugin, pack
from tests.harness.pushing import push
from tests.harness.readiness import wait_until
from tests.harness.requirement import require

pytestmark = [pytest.mark.e2e, pytest.mark.long]

A, B, HERE = "a/driver", "b/driver", "driver"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> list[PackedPlugin]:
    """Three different plugins."""
    return [
        pack(plugins.contiv_plugin(tmp_path_factory.mktemp("plugin") / "plugin", payload_size_bytes=1000 * size))
        for size in (1, 2, 3)
    ]


@pytest.fixture
def upstream(packed: list[PackedPlugin]) -> Iterator[DockerRegistry]:
    """An upstream with different content under the tag 1.0 of two repositories."""
    require(DockerRegistry.missing())
    with DockerRegistry() as registry:
        push(packed[0], registry.url, A, "1.0")
        push(packed[1], registry.url, B, "1.0")
        yield registry


class Site:
    """A data folder and its configuration."""

    def __init__(self, folder: Path, url: str) -> None:
        self._file, self.data, self._url = folder / "config.yaml", folder / "data", url

    def write(self, *rules: str, upstream: str = "hub") -> None:
        """Write a configuration with rules such as ``NAME=a/driver``."""
        mirrors = [
            {"name": name, "from": f"{upstream}/{source}", "to": HERE, "every": "6h"}
            for name, _, source in (rule.partition("=") for rule in rules)
        ]
        upstreams = {upstream: {"url": self._url, "plain_http": True}}
        written = {"upstreams": upstreams, "mirrors": mirrors, "storage": {"path": str(self.data)}}
        self._file.write_text(json.dumps(written))

    def sync(self, *rules: str, upstream: str = "hub") -> tuple[int, dict[str, Any]]:
        """Write a configuration, run its rules, and return the exit code and the summary."""
        self.write(*rules, upstream=upstream)
        done = plugin_mirror("sync", "--json", "--config", str(self._file), check=False)
        return done.exit_code, json.loads(done.stdout)

    def status(self) -> tuple[int, str]:
        """Return the exit code and the output of ``status``."""
        done = plugin_mirror("status", "--config", str(self._file), check=False)
        return done.exit_code, done.stdout


@pytest.fixture
def site(tmp_path: Path, upstream: DockerRegistry) -> Site:
    return Site(tmp_path, upstream.url)


def digest_at(url: str, repository: str = HERE) -> str:
    request = urllib.request.Request(f"{url}/v2/{repository}/manifests/1.0", headers={"Accept": MANIFEST_TYPE})
    with urllib.request.urlopen(request, timeout=120) as response:
        return str(response.headers["Docker-Content-Digest"])


def held_digest(site: Site) -> str:
    done = plugin_mirror("inspect", f"{HERE}:1.0", "--json", "--data", str(site.data))
    return str(json.loads(done.stdout)["digest"])


def test_a_tag_follows_its_rule_through_every_change(site: Site, packed: list[PackedPlugin]) -> None:
    one, two, _ = (each.manifest_digest for each in packed)
    assert site.sync(f"r={A}")[1]["copied"] == 1
    exit_code, summary = site.sync(f"r={A}", upstream="renamed")
    assert (exit_code, summary["unchanged"], summary["skipped"]) == (0, 1, 0)
    exit_code, summary = site.sync(f"r={B}", upstream="renamed")
    (tag,) = summary["rules"][0]["tags"]
    assert (exit_code, tag["change"], tag["before"], tag["digest"]) == (0, "taken over", one, two)
    assert tag["reason"] == f"taken over; it was brought by rule r from renamed/{A}"
    exit_code, summary = site.sync(f"first={A}", f"second={B}")
    (first,), (second,) = (rule["tags"] for rule in summary["rules"])
    assert (exit_code, first["outcome"], second["outcome"]) == (1, "copied", "failed")
    assert f"brought by rule first from hub/{A}, which comes first in the configuration" in second["error"]
    assert held_digest(site) == one
    assert site.status()[0] == 1


def test_what_a_client_pushed_is_skipped_and_nothing_fails(
    site: Site, upstream: DockerRegistry, packed: list[PackedPlugin]
) -> None:
    site.sync(f"r={A}")
    with Mirror(data=site.data) as mirror:
        push(packed[0], mirror.url, HERE, "1.0")
    push(packed[2], upstream.url, A, "1.0")
    for source in (A, B):
        exit_code, summary = site.sync(f"r={source}")
        assert (exit_code, summary["skipped"], summary["failed"]) == (0, 1, 0)
        assert summary["rules"][0]["tags"][0]["reason"].startswith("the tag was pushed here, as ")
    assert held_digest(site) == packed[0].manifest_digest


def test_without_its_rule_a_tag_is_pulled_through(
    site: Site, upstream: DockerRegistry, packed: list[PackedPlugin]
) -> None:
    site.sync(f"r={A}")
    push(packed[2], upstream.url, A, "1.0")
    sections: dict[str, Any] = {
        "upstreams": {"hub": {"url": upstream.url, "plain_http": True}},
        "proxy": [{"from": f"hub/{A}", "to": HERE}],
    }
    rule = {"name": "r", "from": f"hub/{A}", "to": HERE}
    with Mirror(data=site.data, sections=sections | {"mirrors": [rule]}) as mirror:
        assert digest_at(mirror.url) == packed[0].manifest_digest
    with Mirror(data=site.data, sections=sections) as mirror:
        assert digest_at(mirror.url) == packed[2].manifest_digest
    # The rule is written again, and has the tag from now on.
    site.sync(f"r={A}")
    push(packed[1], upstream.url, A, "1.0")
    with Mirror(data=site.data, sections=sections | {"mirrors": [rule]}) as mirror:
        assert digest_at(mirror.url) == packed[2].manifest_digest


def test_an_edited_rule_runs_when_the_server_starts(
    site: Site, upstream: DockerRegistry, packed: list[PackedPlugin]
) -> None:
    site.sync(f"r={A}")
    assert "succeeded" in site.status()[1]
    site.write(f"r={B}")
    assert "changed since its last run: due now" in site.status()[1]
    sections = {
        "upstreams": {"hub": {"url": upstream.url, "plain_http": True}},
        "mirrors": [{"name": "r", "from": f"hub/{B}", "to": HERE, "every": "6h"}],
    }
    with Mirror(data=site.data, sections=sections) as mirror:
        wait_until(lambda: _state(mirror) == ("succeeded", False), "the run of the edited rule")
        assert digest_at(mirror.url) == packed[1].manifest_digest


def _state(mirror: Mirror) -> tuple[str, bool]:
    with urllib.request.urlopen(f"{mirror.url}/api/v1/mirrors", timeout=120) as response:
        (rule,) = json.loads(response.read())["mirrors"]
        return rule["state"], rule["changed_since_last_run"]
