"""Content that the tests request from upstreams."""

from __future__ import annotations

import json

from mirror.oci import Digest, Repository, Tag
from mirror.oci.media_types import DOCKER_MANIFEST
from tests.support.scripted_server import Reply

REPOSITORY = Repository("store/contiv/v2plugin")
TAG = Tag("1.0")
BLOB = bytes(range(256)) * 16
DIGEST = Digest.of(BLOB)
CONFIG = b'{"Description": "a plugin"}\n'
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "config": {
            "mediaType": "application/vnd.docker.plugin.v1+json",
            "digest": str(Digest.of(CONFIG)),
            "size": len(CONFIG),
        },
        "layers": [
            {
                "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                "digest": str(DIGEST),
                "size": len(BLOB),
            }
        ],
        "mediaType": DOCKER_MANIFEST,
    },
    indent=3,
).encode()
MANIFEST_DIGEST = Digest.of(MANIFEST)

ROOT = f"/v2/{REPOSITORY}"
BLOB_PATH = f"{ROOT}/blobs/{DIGEST}"
TAG_PATH = f"{ROOT}/manifests/{TAG}"
DIGEST_PATH = f"{ROOT}/manifests/{MANIFEST_DIGEST}"
UPLOADS_PATH = f"{ROOT}/blobs/uploads/"
TYPED = {"Content-Type": DOCKER_MANIFEST}
DESCRIBED = {**TYPED, "Docker-Content-Digest": str(MANIFEST_DIGEST)}
TAGS = f"GET {ROOT}/tags/list?n=1000"
CATALOG = "GET /v2/_catalog?n=1000"
REFERRERS = f"GET {ROOT}/referrers/{MANIFEST_DIGEST}"
FALLBACK_HEAD = f"HEAD {ROOT}/manifests/sha256-{MANIFEST_DIGEST.hex}"
FALLBACK = f"GET {ROOT}/manifests/sha256-{MANIFEST_DIGEST.hex}"


def tags(*names: str, link: str | None = None) -> Reply:
    return Reply(200, json.dumps({"name": "x", "tags": names}).encode(), {"Link": link} if link else {})


def descriptor(number: int, artifact_type: str | None = None) -> dict[str, object]:
    digest = str(Digest.of(str(number).encode()))
    said = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": number}
    return {**said, "artifactType": artifact_type} if artifact_type else said


def index(*descriptors: dict[str, object]) -> bytes:
    return json.dumps({"schemaVersion": 2, "manifests": descriptors}).encode()
