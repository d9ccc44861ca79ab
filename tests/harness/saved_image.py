"""Container images as files: archives in the format of `docker save`, and OCI layouts as folder or tar."""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.harness.image import DOCKER, OCI
from tests.harness.packing import digest_of


def save_docker(layers: Sequence[bytes], file: Path, *, repeated: bool = False) -> Path:
    """Write an image like `docker save` of engines up to 24.

    Args:
        layers: Uncompressed layers.
        file: Path of the archive.
        repeated: True to store a layer that equals an earlier one as a symbolic link.
    """
    members: dict[str, bytes | str] = {}
    names = []
    for number, layer in enumerate(layers):
        name = f"{number:064x}/layer.tar"
        twin = next((names[at] for at in range(number) if layers[at] == layer), None) if repeated else None
        members[name] = f"../{twin}" if twin else layer
        names.append(name)
    config = _config(layers)
    members["config.json"] = config
    members["manifest.json"] = _encode([{"Config": "config.json", "RepoTags": ["acme/x:1"], "Layers": names}])
    return _write_tar(members, file)


def layout(
    layers: Sequence[bytes],
    *,
    compressed: bool = True,
    attested: bool = True,
    config_type: str = OCI.config,
    layer_type: str | None = None,
) -> dict[str, bytes]:
    """Return the files of an OCI layout with one image, by path.

    Args:
        layers: Uncompressed layers.
        compressed: True to compress the layers with gzip.
        attested: True to add an attestation manifest to the index, as BuildKit does.
        config_type: media type of the config.
        layer_type: media type of the layers. None for the type that matches `compressed`.
    """
    blobs = [gzip.compress(layer, mtime=0) if compressed else layer for layer in layers]
    layer_type = layer_type or (OCI.layer if compressed else OCI.layer.removesuffix("+gzip"))
    files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}

    def described(media_type: str, content: bytes) -> dict[str, object]:
        digest = digest_of(content)
        files[f"blobs/sha256/{digest.removeprefix('sha256:')}"] = content
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI.manifest,
        "config": described(config_type, _config(layers)),
        "layers": [described(layer_type, blob) for blob in blobs],
    }
    members = [described(OCI.manifest, _encode(manifest))]
    if attested:
        attestation = {**manifest, "layers": []}
        members.append(
            {
                **described(OCI.manifest, _encode(attestation)),
                "platform": {"os": "unknown", "architecture": "unknown"},
            }
        )
    index = "application/vnd.oci.image.index.v1+json"
    inner = described(index, _encode({"schemaVersion": 2, "mediaType": index, "manifests": members}))
    files["index.json"] = _encode({"schemaVersion": 2, "manifests": [inner]})
    return files


def write_layout(files: Mapping[str, bytes], folder: Path) -> Path:
    """Write the files of a layout into a folder and return the folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_layout_tar(files: Mapping[str, bytes], file: Path) -> Path:
    """Write the files of a layout into a tar file and return the file."""
    return _write_tar(files, file)


def _write_tar(members: Mapping[str, bytes | str], file: Path) -> Path:
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return file


def _config(layers: Sequence[bytes]) -> bytes:
    rootfs = {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]}
    return _encode({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs, "x": DOCKER.config})


def _encode(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
