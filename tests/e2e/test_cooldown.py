"""What is new from an upstream is held, and no way leads round it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import clock, plugins
from tests.harness.clock import SetClock
from tests.harness.command import run
from tests.harness.mirror import PROGRAM, Mirror
from tests.harness.packing import MANIFEST_TYPE, PackedPlugin, pack
from tests.harness.pushing import push, send
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"


@dataclass(frozen=True, slots=True)
class Site:
    """A mirror with a cooldown, its upstream, and its clock."""

    mirror: Mirror
    upstream: Mirror
    clock: SetClock

    def status(self, path: str, method: str = "GET") -> int:
        """Return the status of a request to the mirror."""
        request = urllib.request.Request(f"{self.mirror.url}/v2/{path}", headers={"Accept": "*/*"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    def served(self, repository: str, tag: str, digest: str, packed: PackedPlugin) -> set[int]:
        """Return the statuses of all requests that give something of a plugin."""
        blobs = [layer["digest"] for layer in json.loads(packed.manifest)["layers"]]
        paths = [f"manifests/{tag}", f"manifests/{digest}", *(f"blobs/{blob}" for blob in blobs)]
        return {self.status(f"{repository}/{path}") for path in paths}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    require(clock.missing(), plugins.missing())
    folder = tmp_path / "clock"
    folder.mkdir()
    time = SetClock(folder)
    with Mirror() as upstream:
        sections = {
            "admission": {"cooldown": "7d"},
            "upstreams": {"hub": {"url": upstream.url, "plain_http": True}},
            "proxy": [{"from": "hub/**", "to": "pulled/**"}],
            "mirrors": [{"name": "all", "from": "hub/acme/driver", "to": "mirrored/driver"}],
        }
        with Mirror(workers=2, sections=sections, wrapper=time.wrapper) as mirror:
            yield Site(mirror, upstream, time)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedPlugin:
    require(plugins.missing())
    return pack(plugins.volume_plugin(tmp_path_factory.mktemp("plugin")))


def test_no_way_leads_round_the_cooldown(site: Site, packed: PackedPlugin, tmp_path: Path) -> None:
    digest = push(packed, site.upstream.url, "acme/driver", "1")
    index = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [
                {
                    "mediaType": MANIFEST_TYPE,
                    "digest": digest,
                    "size": len(packed.manifest),
                    "platform": {"os": "linux", "architecture": "amd64"},
                }
            ],
        }
    ).encode()
    send("PUT", f"{site.upstream.url}/v2/acme/driver/manifests/all", index, INDEX)
    # Pushed under a name of the site before the upstream has it: this matures nothing.
    push(packed, site.mirror.url, "site/early", "1")

    mirrored, pulled = ("mirrored/driver", "1", digest), ("pulled/acme/driver", "1", digest)
    site.mirror.command("sync", "all")
    assert site.status("pulled/acme/driver/manifests/all") == 200  # an index installs nothing
    for name in (mirrored, pulled):
        assert site.status(f"{name[0]}/manifests/1", "HEAD") == 200  # its answer could not carry the reason
        assert site.served(*name, packed) == {403}
    assert site.served("site/early", "1", digest, packed) == {200}

    # A push of the same content, another name, a restart, and a bundle.
    push(packed, site.mirror.url, "mirrored/driver", "again")
    site.mirror.command("tag", "mirrored/driver:1", "site/copy:1")
    copied = ("site/copy", "1", digest)
    site.mirror.stop()
    site.mirror.start()
    for name in (mirrored, pulled, copied):
        assert site.served(*name, packed) == {403}
    exported = site.mirror.command(
        "bundle", "export", "-o", str(tmp_path / "site.tar"), "--unsigned", "mirrored/driver:1", check=False
    )
    assert exported.exit_code != 0
    assert "is new until" in exported.stdout + exported.stderr

    told = json.loads(site.mirror.command("admission", "ls", "--json").stdout)
    assert {one["rule"] for one in told} == {"cooldown"}
    site.mirror.command("admission", "approve", f"site/copy@{digest}", "--by", "alice")
    assert site.served(*copied, packed) == {200}
    assert site.served(*mirrored, packed) == {403}
    site.clock.set("+8d")
    for name in (mirrored, pulled, copied):
        assert site.served(*name, packed) == {200}


def test_what_the_upstream_had_before_is_not_new(site: Site, packed: PackedPlugin, tmp_path: Path) -> None:
    digest = push(packed, site.upstream.url, "acme/driver", "1")
    site.mirror.command("sync", "all")
    site.clock.set("+8d")
    assert site.served("mirrored/driver", "1", digest, packed) == {200}
    newer = pack(plugins.volume_plugin(tmp_path / "newer", version="2"))
    moved = push(newer, site.upstream.url, "acme/driver", "1")
    run([*site.clock.wrapper, PROGRAM, "sync", "all", "--config", str(site.mirror.config)])
    assert site.served("mirrored/driver", "1", moved, newer) == {403}
    assert site.status(f"mirrored/driver/manifests/{digest}") == 200  # the former one can still be installed
