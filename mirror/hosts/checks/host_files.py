"""Reads the file system of the host on which this program runs. All functions block."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final

from mirror.hosts.checks.host_facts import HostFiles, PathKind
from mirror.hosts.engine_api import EngineInfo, EngineVersion, InstalledPlugin
from mirror.oci import Digest
from mirror.oci.errors import MirrorError
from mirror.plugin.build.engine_record import PLUGIN_ID, EngineRecord
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES

#: Most chunks of a file of /proc that are read: 8 MiB. A host with ten thousand mounts has about 2 MiB.
_MOST_CHUNKS: Final = 128
_CHUNK_BYTES: Final = 64 * 1024
_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_USABLE: Final = re.compile(r"enabled\n(?:.*\n)*flags: \w*F")
#: Go's names of architectures, by the names of QEMU's user emulators in binfmt_misc.
_EMULATORS: Final = {
    "qemu-aarch64": "arm64",
    "qemu-arm": "arm",
    "qemu-x86_64": "amd64",
    "qemu-i386": "386",
    "qemu-ppc64le": "ppc64le",
    "qemu-riscv64": "riscv64",
    "qemu-s390x": "s390x",
    "qemu-mips64el": "mips64le",
}


@dataclass(frozen=True, slots=True)
class MountPoint:
    """A mount in the table of a process.

    Attributes:
        path: mount point.
        options: options of the mount, such as ``noexec``.
    """

    path: str
    options: frozenset[str]


def why_unseen(version: EngineVersion, info: EngineInfo, root: Path = Path("/")) -> str:
    """Return the reason why the engine's file system is not that of this program; empty if it seems to be.

    Args:
        version: version of an engine at a Unix socket.
        info: properties of the engine.
        root: root folder of this program's file system.
    """
    # The engine may run in a virtual machine, as with Docker Desktop. Or this program runs in a container.
    kernel = _read(root / "proc/sys/kernel/osrelease").strip()
    if kernel != version.kernel:
        return f"the engine runs on another kernel ({version.kernel or 'unknown'}) than this program"
    if not info.data_root or _kind(root, info.data_root) not in {PathKind.FOLDER, PathKind.HIDDEN}:
        return "this program does not see the data root of the engine, and may run in a container"
    return ""


def read_host_files(
    paths: Iterable[str], version: EngineVersion, info: EngineInfo, plugins: Iterable[InstalledPlugin], root: Path
) -> HostFiles:
    """Read the parts of the file system that matter for a plugin.

    Args:
        paths: absolute paths that the plugin needs.
        version: version of the engine.
        info: properties of the engine.
        plugins: installed plugins, whose digests are read.
        root: root folder; ``/`` for the host itself.
    """
    data_root = root / info.data_root.lstrip("/")
    try:
        usage = os.statvfs(data_root)
        free_bytes = usage.f_bfree * usage.f_frsize  # the engine may use the blocks that are reserved for root
    except OSError:
        free_bytes = None
    mount = mount_of(_real(data_root, root), parse_mounts(_read(root / "proc/self/mountinfo")))
    return HostFiles(
        paths={path: _kind(root, path) for path in paths},
        kernel=version.kernel,
        has_modules=_kind(root, f"/lib/modules/{version.kernel}") is PathKind.FOLDER,
        file_systems=frozenset(_last_words(_read(root / "proc/filesystems"))),
        emulated=frozenset(_emulated(root / "proc/sys/fs/binfmt_misc")),
        data_root_options=frozenset() if mount is None else mount.options,
        free_bytes=free_bytes,
        digests=dict(_digests(data_root / "plugins", plugins)),
    )


def parse_mounts(text: str) -> Iterator[MountPoint]:
    """Yield the mounts of a file ``/proc/PID/mountinfo``. Lines of another form are skipped."""
    for line in text.splitlines():
        # 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
        words = line.split(" ")
        if len(words) > 6:
            # Spaces and backslashes in paths are written in octal.
            path = _OCTAL.sub(lambda match: chr(int(match[1], 8)), words[4])
            yield MountPoint(path, frozenset(words[5].split(",")))


def mount_of(path: str, mounts: Iterable[MountPoint]) -> MountPoint | None:
    """Return the mount that holds a path. Of several mounts at one place, the last one is on top."""
    found: MountPoint | None = None
    for mount in mounts:
        if PurePosixPath(path).is_relative_to(mount.path) and (found is None or len(mount.path) >= len(found.path)):
            found = mount
    return found


def _kind(root: Path, path: str) -> PathKind:
    try:
        mode = (root / path.lstrip("/")).stat().st_mode
    except PermissionError:
        return PathKind.HIDDEN
    except (OSError, ValueError):  # ValueError: a zero byte
        return PathKind.MISSING
    if stat.S_ISDIR(mode):
        return PathKind.FOLDER
    return PathKind.DEVICE if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else PathKind.OTHER


def _real(path: Path, root: Path) -> str:
    """Return a path below the root as the table of mounts names it, without links."""
    return str(path.resolve()) if root == Path("/") else f"/{path.relative_to(root)}"


def _read(path: Path) -> str:
    """Return a file of /proc; empty if there is none."""
    try:
        with path.open("rb") as file:
            # Files of /proc/sys refuse a read with a buffer of some MiB: ENOMEM.
            chunks = iter(lambda: file.read(_CHUNK_BYTES), b"")
            return b"".join(islice(chunks, _MOST_CHUNKS)).decode("utf-8", "replace")
    except OSError:
        return ""


def _last_words(text: str) -> Iterator[str]:
    return (line.split()[-1] for line in text.splitlines() if line.split())


def _emulated(folder: Path) -> Iterator[str]:
    try:
        files = list(folder.iterdir())
    except OSError:
        return
    for file in files:
        # With flag F, the kernel has opened the emulator already. Without it, a plugin would need the emulator inside.
        if file.name in _EMULATORS and _USABLE.match(_read(file)):
            yield _EMULATORS[file.name]


def _digests(folder: Path, plugins: Iterable[InstalledPlugin]) -> Iterator[tuple[str, Digest]]:
    """Yield id and digest of plugins. The records of the engine can only be read by root."""
    for plugin in plugins:
        if not PLUGIN_ID.fullmatch(plugin.plugin_id):
            continue
        try:
            with (folder / plugin.plugin_id / "config.json").open("rb") as file:
                manifest = EngineRecord.parse(file.read(MAX_CONFIG_BYTES)).manifest
        except (OSError, MirrorError):
            continue
        if manifest is not None:
            yield plugin.plugin_id, manifest
