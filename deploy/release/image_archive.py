"""An image as one file that every engine loads: an OCI layout that is also an archive of `docker save`.

Engines up to 24 read `manifest.json`, all others `index.json`. Both name the same files. Layers are compressed.
"""

import gzip
import hashlib
import io
import json
import tarfile
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from deploy.release.checkout import write_tar

_TYPE = "application/vnd.oci.image"


def write_archive(saved: Path, name: str, archive: Path, made_at: datetime) -> None:
    """Write the archive of an image.

    Args:
        saved: archive that an engine has written, in the format of `docker save`.
        name: name of the image with its tag.
        archive: path of the result.
        made_at: time of the files in the archive. The image keeps its own times.
    """
    with tempfile.TemporaryDirectory(dir=archive.parent) as made, tarfile.open(saved) as tar:
        folder = Path(made)
        (folder / "blobs/sha256").mkdir(parents=True)
        (image,) = json.loads(_read(tar, "manifest.json"))
        config = _add(folder, _read(tar, image["Config"]), f"{_TYPE}.config.v1+json")
        layers = [
            _add(folder, gzip.compress(_read(tar, layer), 6, mtime=0), f"{_TYPE}.layer.v1.tar+gzip")
            for layer in image["Layers"]
        ]
        document = {"schemaVersion": 2, "mediaType": f"{_TYPE}.manifest.v1+json", "config": config, "layers": layers}
        manifest = _add(folder, _encode(document), f"{_TYPE}.manifest.v1+json")
        # containerd and Docker read the whole name, others the tag.
        names = {
            "io.containerd.image.name": f"docker.io/library/{name}",
            "org.opencontainers.image.ref.name": name.rpartition(":")[2],
        }
        index = {"schemaVersion": 2, "manifests": [{**manifest, "annotations": names}]}
        (folder / "index.json").write_bytes(_encode(index))
        (folder / "oci-layout").write_bytes(_encode({"imageLayoutVersion": "1.0.0"}))
        paths = {"Config": _path(config), "RepoTags": [name], "Layers": [_path(layer) for layer in layers]}
        (folder / "manifest.json").write_bytes(_encode([paths]))
        write_tar(archive, folder, made_at, first=("oci-layout", "index.json", "manifest.json"))


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    with tar.extractfile(name) or io.BytesIO() as file:
        return file.read()


def _add(folder: Path, content: bytes, media_type: str) -> dict[str, Any]:
    """Write a blob and return its descriptor."""
    digest = hashlib.sha256(content).hexdigest()
    (folder / "blobs/sha256" / digest).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _path(descriptor: dict[str, Any]) -> str:
    return f"blobs/{descriptor['digest'].replace(':', '/')}"


def _encode(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
