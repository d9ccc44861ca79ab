"""A tiny container image made without an engine, with Docker or OCI media types, in layouts that skopeo can push."""

import gzip
import io
import json
import platform
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.packing import digest_of

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """Media types of one image format."""

    manifest: str
    config: str
    layer: str


DOCKER = Dialect(
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
OCI = Dialect(
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip",
)


@dataclass(frozen=True, slots=True)
class PackedImage:
    """Exact bytes of an image's config, its only layer and the manifest that names both."""

    dialect: Dialect
    config: bytes = field(repr=False)
    layer: bytes = field(repr=False)
    manifest: bytes = field(repr=False)

    @property
    def manifest_digest(self) -> str:
        """Digest of the manifest, `sha256:…`."""
        return digest_of(self.manifest)


def pack_image(files: Mapping[str, bytes], dialect: Dialect) -> PackedImage:
    """Pack `files` as an image for this machine's architecture. Equal files give equal bytes.

    Args:
        files: Content by path without a leading slash. All files become executable.
        dialect: Media types to use, `DOCKER` or `OCI`.
    """
    tar = _tar_of(files)
    layer = gzip.compress(tar, mtime=0)
    config = _encode(
        {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(tar)]},
            "history": [{"created": "1970-01-01T00:00:00Z"}],
        }
    )
    manifest = _encode(
        {
            "schemaVersion": 2,
            "mediaType": dialect.manifest,
            "config": _descriptor(dialect.config, config),
            "layers": [_descriptor(dialect.layer, layer)],
        }
    )
    return PackedImage(dialect, config, layer, manifest)


def write_oci_layout(image: PackedImage, folder: Path, tag: str) -> str:
    """Write an OCI image layout with one image into `folder` and return its skopeo name (`oci:FOLDER:TAG`).

    skopeo converts images with Docker media types when it reads this layout. Use `write_folder` to keep them.
    """
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)
    for content in (image.config, image.layer, image.manifest):
        (blobs / digest_of(content).removeprefix("sha256:")).write_bytes(content)
    entry = _descriptor(image.dialect.manifest, image.manifest)
    entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
    (folder / "index.json").write_bytes(_encode({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_bytes(_encode({"imageLayoutVersion": "1.0.0"}))
    return f"oci:{folder}:{tag}"


def write_folder(image: PackedImage, folder: Path) -> str:
    """Write skopeo's directory layout with one image into `folder` and return its skopeo name (`dir:FOLDER`).

    skopeo keeps the media types of this layout.
    """
    folder.mkdir(parents=True)
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    (folder / "manifest.json").write_bytes(image.manifest)
    for content in (image.config, image.layer):
        (folder / digest_of(content).removeprefix("sha256:")).write_bytes(content)
    return f"dir:{folder}"


def _tar_of(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            entry.mode = 0o755
            archive.addfile(entry, io.BytesIO(files[name]))
    return buffer.getvalue()


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def _encode(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
