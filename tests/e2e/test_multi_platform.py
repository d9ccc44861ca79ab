"""An image for several platforms, mirrored and pulled through in part from docker-registry, read by skopeo."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness import skopeo
from tests.harness.docker_registry import DockerRegistry
from tests.harness.image import OCI, PackedImage, pack_image
from tests.harness.mirror import Mirror
from tests.harness.packing import digest_of
from tests.harness.pushing import push_blob, send
from tests.harness.requirement import require

pytestmark = [pytest.mark.e2e, pytest.mark.long]

NAME, INDEX_TYPE = "library/tool", "application/vnd.oci.image.index.v1+json"
IMAGES = {name: pack_image({"bin/tool": name.encode()}, OCI) for name in ("amd64", "arm64", "s390x")}
LISTED = [
    {
        "mediaType": OCI.manifest,
        "digest": image.manifest_digest,
        "size": len(image.manifest),
        "platform": {"os": "linux", "architecture": name},
    }
    for name, image in IMAGES.items()
]
INDEX = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": LISTED}).encode()


def push_image(root: str, image: PackedImage) -> None:
    for blob in (image.config, image.layer):
        push_blob(root, blob)
    send("PUT", f"{root}/manifests/{image.manifest_digest}", image.manifest, OCI.manifest)


@dataclass(frozen=True)
class Site:
    hub: DockerRegistry
    mirror: Mirror

    def sync(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.mirror.command("sync", "--json").stdout)
        return told

    def inspected(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.mirror.command("inspect", "mirrored:1", "--json").stdout)
        return told

    def copies(self, name: str, folder: Path, *options: str) -> bool:
        """Return True if skopeo copies a tag of the mirror to a folder."""
        run = skopeo.copy(f"docker://{self.mirror.host}/{name}:1", f"dir:{folder}", *options, check=False)
        return run.exit_code == 0


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    require(DockerRegistry.missing(), skopeo.missing())
    with DockerRegistry() as hub:
        for image in IMAGES.values():
            push_image(f"{hub.url}/v2/{NAME}", image)
        send("PUT", f"{hub.url}/v2/{NAME}/manifests/1", INDEX, INDEX_TYPE)
        send("DELETE", f"{hub.url}/v2/{NAME}/manifests/{IMAGES['arm64'].manifest_digest}")
        source = f"hub/{NAME}"
        sections = {
            "upstreams": {"hub": {"url": hub.url, "plain_http": True}},
            "mirrors": [
                {"name": "tool", "from": source, "to": "mirrored", "platforms": ["linux/amd64", "linux/arm64"]}
            ],
            "proxy": [{"from": source, "to": "pulled", "platforms": ["linux/amd64"]}],
        }
        with Mirror(sections=sections) as mirror:
            yield Site(hub, mirror)


def test_the_mirrored_index_serves_the_platforms_that_are_there(site: Site, tmp_path: Path) -> None:
    first, second = site.sync(), site.sync()
    assert (first["copied"], second["unchanged"], second["failed"]) == (1, 1, 0)
    assert "linux/arm64" in second["rules"][0]["tags"][0]["warnings"][0]
    found = site.inspected()
    assert (found["digest"], found["platforms"]) == (digest_of(INDEX), ["linux/amd64"])
    assert {each["detail"]: each["reason"] for each in found["absent"]} == {
        "linux/arm64": "gone upstream",
        "linux/s390x": "platform",
    }
    assert site.copies("mirrored", tmp_path / "amd64", "--override-arch", "amd64")
    assert not site.copies("mirrored", tmp_path / "arm64", "--override-arch", "arm64")
    assert not site.copies("mirrored", tmp_path / "all", "--all")


def test_a_member_that_returns_is_copied(site: Site, tmp_path: Path) -> None:
    site.sync()
    push_image(f"{site.hub.url}/v2/{NAME}", IMAGES["arm64"])
    assert site.sync()["copied"] == 1
    assert site.inspected()["platforms"] == ["linux/amd64", "linux/arm64"]
    assert site.copies("mirrored", tmp_path / "arm64", "--override-arch", "arm64")


def test_the_pulled_index_serves_the_platforms_of_the_rule(site: Site, tmp_path: Path) -> None:
    assert site.copies("pulled", tmp_path / "amd64", "--override-arch", "amd64")
    assert not site.copies("pulled", tmp_path / "s390x", "--override-arch", "s390x")
    rows = json.loads(site.mirror.command("ls", "pulled", "--json").stdout)
    assert [(row["tag"], row["platforms"]) for row in rows] == [("1", ["linux/amd64"])]
