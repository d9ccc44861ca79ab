"""One tag, every platform, with real engines."""

from __future__ import annotations

import platform
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import plugins
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.packing import pack
from tests.harness.pushing import push

pytestmark = pytest.mark.e2e

OURS = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
OTHER = {"amd64": "arm64", "arm64": "amd64"}[OURS]


@pytest.fixture(scope="module")
def both() -> Iterator[Mirror]:
    """A mirror with a rule for one tag of every repository."""
    rule = {"name": "acme/*", "tag": "latest", "platforms": {"amd64": "latest-amd64", "arm64": "latest-arm64"}}
    with Mirror(sections={"platform_tags": [{**rule, "default": OTHER}]}) as mirror:
        yield mirror


def test_an_engine_installs_its_own_and_another_is_shown_the_other(
    engine: Engine, both: Mirror, tmp_path: Path
) -> None:
    name = f"acme/driver{engine.version()[:2]}"
    digests = {
        architecture: push(
            pack(plugins.volume_plugin(tmp_path / architecture, version=architecture)),
            both.url,
            name,
            f"latest-{architecture}",
        )
        for architecture in (OURS, OTHER)
    }
    reference = f"{both.host}/{name}:latest"
    engine.docker("plugin", "install", reference)
    try:
        engine.docker("volume", "create", "--driver", reference, name.replace("/", "-"))
        assert engine.inspect_volume(name.replace("/", "-"))["Status"] == {"version": OURS}
        engine.docker("volume", "rm", name.replace("/", "-"))
        assert engine.inspect_plugin(reference)["Config"]["Description"] == f"Volumes in memory, version {OURS}"
    finally:
        engine.docker("plugin", "rm", "-f", reference)

    for architecture in (OURS, OTHER):
        agent = f"docker/{engine.version()} go/go1.21 os/linux arch/{architecture} UpstreamClient(x arch/{OURS})"
        for method in ("HEAD", "GET"):
            request = urllib.request.Request(f"{both.url}/v2/{name}/manifests/latest", method=method)
            request.add_header("User-Agent", agent)
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.headers["Docker-Content-Digest"] == digests[architecture]
                assert answer.headers["Vary"] == "User-Agent, Accept"
