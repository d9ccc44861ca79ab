"""Numbers of a running server: ``/api/v1/storage`` for operators, and ``stats`` beside it."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.harness import plugins
from tests.harness.docker_registry import DockerRegistry
from tests.harness.mirror import Mirror
from tests.harness.packing import pack
from tests.harness.pulling import NAME, TAG, manifest, sections, take
from tests.harness.pushing import push
from tests.harness.readiness import wait_until
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e


def numbers(mirror: Mirror) -> dict[str, Any]:
    with urllib.request.urlopen(f"{mirror.url}/api/v1/storage", timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def test_a_second_pull_is_saved_traffic(tmp_path: Path) -> None:
    require(DockerRegistry.missing())
    plugin = pack(plugins.contiv_plugin(tmp_path / "plugin", payload_size_bytes=100_000))
    with DockerRegistry() as upstream:
        push(plugin, upstream.url, NAME, TAG)
        with Mirror(sections=sections(upstream.url)) as mirror:
            for _ in range(2):
                assert manifest(mirror.url)[2] == plugin.manifest
                for digest in (plugin.config_digest, plugin.layer_digest):
                    take(mirror.port, digest)
            blobs_bytes = len(plugin.config) + len(plugin.layer)
            wait_until(lambda: numbers(mirror)["content"]["tags"] == 1, "the plugin to be complete")
            (row,) = numbers(mirror)["traffic"]
            assert (row["upstream"], row["rule"], row["pulls"]) == ("hub", "**", 2)
            assert row["served_bytes"] == 2 * (blobs_bytes + len(plugin.manifest))
            assert row["fetched_bytes"] == blobs_bytes
            assert row["saved_bytes"] == row["served_bytes"] - blobs_bytes
            assert json.loads(mirror.command("stats", "--json").stdout)["traffic"] == [row]
            assert f"{NAME} " in mirror.command("stats").stdout
