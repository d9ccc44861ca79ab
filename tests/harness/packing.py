"""A plugin packed without an engine: the config, layer and manifest that an engine creates and pushes.

The config is encoded like by engines of 20.10: only known keys, in the engine's order, matched case-insensitively, with
null for absent lists and one newline at the end. Unlike engines since 20.10, `pack` writes a correct `diff_ids`.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.plugin.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"

_END_OF_TAR = bytes(1024)

# The engine's structures in the order of its encoder. A plain value is a default. A dictionary is an object. A list of
# one dictionary is a list of objects, which is null if absent.
_ARGUMENT = {"Description": "", "Name": "", "Settable": None, "Value": None}
_DEVICE = {"Description": "", "Name": "", "Path": None, "Settable": None}
_MOUNT = {
    "Description": "",
    "Destination": "",
    "Name": "",
    "Options": None,
    "Settable": None,
    "Source": None,
    "Type": "",
}
_CONFIG = {
    "Args": _ARGUMENT,
    "Description": "",
    "Documentation": "",
    "Entrypoint": None,
    "Env": [{"Description": "", "Name": "", "Settable": None, "Value": None}],
    "Interface": {"Socket": "", "Types": None},
    "IpcHost": False,
    "Linux": {"AllowAllDevices": False, "Capabilities": None, "Devices": [_DEVICE]},
    "Mounts": [_MOUNT],
    "Network": {"Type": ""},
    "PidHost": False,
    "PropagatedMount": "",
    "User": {},
    "WorkDir": "",
}


@dataclass(frozen=True, slots=True)
class PackedPlugin:
    """Exact bytes of a plugin's config, its only layer and the schema 2 manifest that names both."""

    config: bytes = field(repr=False)
    layer: bytes = field(repr=False)
    manifest: bytes = field(repr=False)

    @property
    def config_digest(self) -> str:
        """Digest of the config, `sha256:…`."""
        return digest_of(self.config)

    @property
    def layer_digest(self) -> str:
        """Digest of the compressed layer, `sha256:…`."""
        return digest_of(self.layer)

    @property
    def manifest_digest(self) -> str:
        """Digest of the manifest, `sha256:…`."""
        return digest_of(self.manifest)


def digest_of(content: bytes) -> str:
    """Return the `sha256:…` digest of `content`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def pack(folder: Path) -> PackedPlugin:
    """Pack a folder made for `docker plugin create` (`config.json` and `rootfs/`). Equal folders give equal bytes.

    The manifest is compact JSON with `mediaType` last, as engines since 20.10 push it. Files belong to root and have
    modification time 0.
    """
    tar = _tar_of(folder / "rootfs")
    compressed = io.BytesIO()
    # Without a file name and time in the gzip header, equal folders give equal bytes.
    with gzip.GzipFile(filename="", mode="wb", fileobj=compressed, mtime=0) as stream:
        stream.write(tar)
    config = _encode_config(json.loads((folder / "config.json").read_bytes()), digest_of(tar))
    return packed_from(config, compressed.getvalue())


def packed_from(config: bytes, layer: bytes) -> PackedPlugin:
    """Return `config` and `layer` with a manifest that names them. Neither content is validated."""
    manifest = {
        "schemaVersion": 2,
        "config": {"mediaType": CONFIG_TYPE, "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": LAYER_TYPE, "digest": digest_of(layer), "size": len(layer)}],
        "mediaType": MANIFEST_TYPE,
    }
    return PackedPlugin(config, layer, json.dumps(manifest, separators=(",", ":")).encode())


def legacy_manifest(packed: PackedPlugin) -> bytes:
    """Return the manifest as engines before 20.10 push it: indented by 3 spaces, without a newline at the end.

    The manifest has 519 bytes if the config's size has 4 digits and the layer's size has 7, as for Docker's own sshfs
    plugin. `contiv_plugin(folder, payload_size_bytes=1_200_000)` packs to such sizes.
    """
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "size": len(packed.config), "digest": packed.config_digest},
        "layers": [{"mediaType": LAYER_TYPE, "size": len(packed.layer), "digest": packed.layer_digest}],
    }
    return json.dumps(manifest, indent=3).encode()


def _tar_of(rootfs: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in [rootfs, *sorted(rootfs.rglob("*"))]:
            entry = archive.gettarinfo(path, arcname=path.relative_to(rootfs).as_posix())
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mtime = 0
            if entry.isreg():
                with path.open("rb") as content:
                    archive.addfile(entry, content)
            else:
                archive.addfile(entry)
        end = archive.offset
    return buffer.getvalue()[:end] + _END_OF_TAR  # tarfile pads to 10 KiB, but engines write just two zero blocks


def _encode_config(source: Mapping[str, Any], diff_id: str) -> bytes:
    config = _shaped(source, _CONFIG)
    config["rootfs"] = {"diff_ids": [diff_id], "type": "layers"}
    # Go's JSON encoder escapes these characters, and Python's does not.
    text = json.dumps(config, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"{text}\n".encode()


def _shaped(source: Any, shape: Any) -> Any:
    """Return `source` with exactly the keys of `shape`, in the order of `shape`."""
    if isinstance(shape, list):
        return None if source is None else [_shaped(item, shape[0]) for item in source]
    if not isinstance(shape, dict):
        return shape if source is None else source
    given = {key.lower(): value for key, value in (source or {}).items()}
    return {key: _shaped(given.get(key.lower()), inner) for key, inner in shape.items()}
