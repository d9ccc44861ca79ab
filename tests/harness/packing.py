"""A plugin without an engine: the three documents that an engine's create and push make of a folder.

The config is encoded as engines of 20.10 encode it (known keys only, in their order, matched without regard to case,
null for absent lists, one newline at the end), but with a correct `diff_ids`, which only engines before 20.10 wrote.
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

# The engine's structures in the order of its encoder: a plain value is the default, a dictionary an object, and a list
# of one dictionary a list of objects, null when absent.
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
    """The exact bytes of a plugin's config, its one layer, and the schema 2 manifest that names both."""

    config: bytes = field(repr=False)
    layer: bytes = field(repr=False)
    manifest: bytes = field(repr=False)

    @property
    def config_digest(self) -> str:
        """`sha256:…` of the config."""
        return digest_of(self.config)

    @property
    def layer_digest(self) -> str:
        """`sha256:…` of the layer."""
        return digest_of(self.layer)

    @property
    def manifest_digest(self) -> str:
        """`sha256:…` of the manifest."""
        return digest_of(self.manifest)


def digest_of(content: bytes) -> str:
    """Return the `sha256:…` digest of `content`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def pack(folder: Path) -> PackedPlugin:
    """Pack a folder made for `docker plugin create` (`config.json` and `rootfs/`); the same folder, the same bytes.

    The manifest is compact with `mediaType` last, as engines push it since 20.10. Owners become root, times zero.
    """
    tar = _tar_of(folder / "rootfs")
    compressed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=compressed, mtime=0) as stream:
        stream.write(tar)
    config = _encode_config(json.loads((folder / "config.json").read_bytes()), digest_of(tar))
    return packed_from(config, compressed.getvalue())


def packed_from(config: bytes, layer: bytes) -> PackedPlugin:
    """Return `config` and `layer`, whatever they hold, with the manifest that names them."""
    manifest = {
        "schemaVersion": 2,
        "config": {"mediaType": CONFIG_TYPE, "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": LAYER_TYPE, "digest": digest_of(layer), "size": len(layer)}],
        "mediaType": MANIFEST_TYPE,
    }
    return PackedPlugin(config, layer, json.dumps(manifest, separators=(",", ":")).encode())


def legacy_manifest(packed: PackedPlugin) -> bytes:
    """Return the manifest as engines before 20.10 push it: indented by 3 spaces, no newline at the end.

    It has 519 bytes when the config's size has 4 digits and the layer's 7, as those of Docker's own sshfs plugin have.
    `contiv_plugin(folder, payload_size_bytes=1_200_000)` packs to that shape.
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
    return buffer.getvalue()[:end] + _END_OF_TAR  # Python pads to 10 KiB, engines end with two zero blocks


def _encode_config(source: Mapping[str, Any], diff_id: str) -> bytes:
    config = _shaped(source, _CONFIG)
    config["rootfs"] = {"diff_ids": [diff_id], "type": "layers"}
    text = json.dumps(config, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"{text}\n".encode()


def _shaped(source: Any, shape: Any) -> Any:
    """Return `source` with exactly the keys of `shape`, in its order."""
    if isinstance(shape, list):
        return None if source is None else [_shaped(item, shape[0]) for item in source]
    if not isinstance(shape, dict):
        return shape if source is None else source
    given = {key.lower(): value for key, value in (source or {}).items()}
    return {key: _shaped(given.get(key.lower()), inner) for key, inner in shape.items()}
