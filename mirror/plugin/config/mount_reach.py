"""Parts of a host that mounts and devices of a plugin give access to, derived from type, source and options.

The engine passes a mount to runc as the config has it (moby: plugin/v2/plugin_linux.go). The option ``bind`` or
``rbind`` makes a bind mount, whatever the type. Options unknown to runc go to mount(2), joined by commas. The kernel
follows absolute paths in the host's tree, and relative paths from the plugin's root filesystem, where links of the
plugin may redirect them. A path that cannot be resolved counts as any path.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mirror.oci.printable_text import printable, printable_ascii
from mirror.plugin.config.host_path import HostPath, holds_roots, resolve, resolve_device
from mirror.plugin.config.plugin_config import Mount, PluginConfig

#: Kinds of :class:`Reach`: paths, which rules about mounts are for, and devices.
MOUNT, DEVICE = "mount", "device"

# Records of earlier verdicts hold these names and ways of access (:mod:`mirror.plugin.policy.privilege_pattern`). If
# one changes, the plugin seems to ask for something new.
_EVERY_PATH: Final = "every path"

#: The kernel reads one page of options and cuts off the rest.
_MOST_OPTIONS, _MOST_OPTION_BYTES = 256, 4095

BIND_OPTIONS: Final = frozenset({"bind", "rbind"})
#: Types that runc does not mount at all without a bind option, and that other runtimes bind.
_BIND_TYPES: Final = BIND_OPTIONS | {"", "none"}
_OVERLAYS: Final = frozenset({"overlay", "overlayfs"})
#: File systems that begin without files.
EMPTY_FILE_SYSTEMS: Final = frozenset({"tmpfs", "ramfs", "hugetlbfs"})
#: File systems that show the kernel itself, with their usual places on a host.
_OF_THE_KERNEL: Final = {
    "proc": "/proc",
    "sysfs": "/sys",
    "devtmpfs": "/dev",
    "devpts": "/dev/pts",
    "mqueue": "/dev/mqueue",
    "cgroup": "/sys/fs/cgroup",
    "cgroup2": "/sys/fs/cgroup",
    "cpuset": "/sys/fs/cgroup",
    "bpf": "/sys/fs/bpf",
    "pstore": "/sys/fs/pstore",
    "resctrl": "/sys/fs/resctrl",
    "selinuxfs": "/sys/fs/selinux",
    "smackfs": "/sys/fs/smackfs",
    "fusectl": "/sys/fs/fuse/connections",
    "debugfs": "/sys/kernel/debug",
    "tracefs": "/sys/kernel/tracing",
    "securityfs": "/sys/kernel/security",
    "configfs": "/sys/kernel/config",
    "efivarfs": "/sys/firmware/efi/efivars",
    "binfmt_misc": "/proc/sys/fs/binfmt_misc",
    "nfsd": "/proc/fs/nfsd",
}
_DEVICE_TYPES: Final = """
    adfs affs bcachefs befs bfs btrfs cramfs efs erofs exfat ext2 ext3 ext4 f2fs fuseblk gfs2 hfs hfsplus hpfs iso9660
    jffs2 jfs minix msdos nilfs2 ntfs ntfs3 ocfs2 omfs qnx4 qnx6 reiserfs romfs squashfs sysv ubifs udf ufs umsdos
    vfat xfs zfs zonefs
"""
#: File systems on a device.
DISK_FILE_SYSTEMS: Final = frozenset(_DEVICE_TYPES.split())
_OF_SERVERS: Final = frozenset({"9p", "afs", "ceph", "cifs", "coda", "fuse", "lustre", "nfs", "nfs4", "smb3", "smbfs"})
#: All file systems whose reach is known.
FILE_SYSTEMS: Final = DISK_FILE_SYSTEMS.union(EMPTY_FILE_SYSTEMS, _OVERLAYS, _OF_THE_KERNEL, _OF_SERVERS)
#: Capabilities with which a plugin that sees the host's processes can open their root folders. Every plugin has /proc.
_OPENS_PROCESSES: Final = frozenset({"CAP_SYS_PTRACE", "SYS_PTRACE", "CAP_ALL", "ALL"})
_BY_PROCESSES: Final = "by way of the processes in {}"
_UNESCAPED_COMMA: Final = re.compile(r"((?:[^,\\]|\\.)*\\?)(?:,|\Z)", re.DOTALL)
_UNESCAPED_COLON: Final = re.compile(r"((?:[^:\\]|\\.)*\\?)(?::|\Z)", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.?)", re.DOTALL)
_CUT_ESCAPE: Final = re.compile(r"(?<!\\)(?:\\\\)*\\\Z")


@dataclass(frozen=True, slots=True)
class Reach:
    """A part of the host that a plugin gets access to.

    Attributes:
        kind: :data:`MOUNT` or :data:`DEVICE`.
        named: name in the config, or the usual place of a kernel file system on hosts.
        leads_to: path on the host; a relative path lies in a folder that the engine makes; None means any path.
        by: way of access, such as ``lowerdir of an overlay mount``; empty if the engine asks for exactly this path.
        at: path in the plugin.
        why: reason why ``leads_to`` is None, as text after "cannot be resolved: ".
        writable: True if the plugin may write through this access.
    """

    kind: str
    named: str
    leads_to: str | None
    by: str = ""
    at: str = ""
    why: str = ""
    writable: bool = True

    @property
    def how(self) -> str:
        """The way of access and any unknown part of the path; empty if the engine asks for exactly this path."""
        place = f"{self.by}{f' at {printable_ascii(self.at)}' if self.at else ''}" if self.by else ""
        return "; ".join(filter(None, (place, f"cannot be resolved: {self.why}" if self.leads_to is None else "")))

    @property
    def description(self) -> str:
        """One line with the kind, the name, the path in the plugin, and the reason for an unknown path."""
        return f"{self.kind}: {printable(self.named, 200)}{f' ({self.how})' if self.how else ''}"


def config_reaches(config: PluginConfig) -> Iterator[Reach]:
    """Yield all access through mounts and processes, then through devices.

    Values that users set later are not considered.
    """
    for mount in config.mounts:
        yield from mount_reaches(mount, sees_processes=config.pid_host)
    if config.pid_host and not _OPENS_PROCESSES.isdisjoint(map(str.upper, config.capabilities)):
        yield Reach(MOUNT, "/", "/", _BY_PROCESSES.format("/proc"))
    for device in config.devices:
        if device.path is not None:
            yield device_reach(device.path)


def mount_reaches(mount: Mount, *, sees_processes: bool = False) -> Iterator[Reach]:
    """Yield all access through one mount.

    Args:
        mount: mount as the config has it.
        sees_processes: True if the plugin is in the host's process namespace.
    """
    if _is_too_long(mount.options):
        yield _anything(mount, "with long options", "the kernel reads one page of options and cuts off the rest")
        return
    pieces = {piece.strip() for option in mount.options for piece in option.split(",")}
    if "remount" in pieces:
        yield _anything(mount, "with the option remount", "it changes an existing mount")
        return
    if is_bound(mount) or pieces & BIND_OPTIONS:
        yield from _of_bind(mount)
    if not is_bound(mount):
        yield from _of_type(mount, sees_processes=sees_processes)


def device_reach(path: str) -> Reach:
    """Return the access to a device of a plugin."""
    found = resolve_device(path)
    return Reach(DEVICE, path, found.leads_to, why=found.why)


def is_bound(mount: Mount) -> bool:
    """Return True for a bind mount. Then neither the type nor the other options say what is mounted."""
    return mount.type in _BIND_TYPES or not BIND_OPTIONS.isdisjoint(mount.options)


def is_read_only(mount: Mount) -> bool:
    """Return True if a plugin cannot write to a mount. The last of ``ro`` and ``rw`` counts, as in runc."""
    said = [option for option in mount.options if option in {"ro", "rw"}]
    return said[-1:] == ["ro"] and "rrw" not in mount.options


def _of_bind(mount: Mount) -> Iterator[Reach]:
    """Yield the access through a bind mount."""
    source, writable = mount.source, not is_read_only(mount)
    if source is None:
        return
    found = resolve(source) if source.startswith("/") else _in_the_bundle(source)
    yield Reach(MOUNT, source, found.leads_to, at=mount.destination, why=found.why, writable=writable)
    if found.leads_to is not None and holds_roots(found.leads_to):
        yield Reach(MOUNT, "/", "/", _BY_PROCESSES.format(found.leads_to), mount.destination, "", writable)


def _in_the_bundle(source: str) -> HostPath:
    """Resolve a relative source of a bind mount. runc searches it in the folder that the engine made for the plugin."""
    path = posixpath.normpath(source) if source else ""
    if "\0" in path or path == ".." or path.startswith("../"):
        return HostPath(None, "it is relative and leads out of the folder that the engine makes for the plugin")
    return HostPath(path)


def _of_type(mount: Mount, *, sees_processes: bool) -> Iterator[Reach]:
    """Yield the access through a mount of a file system type."""
    kind, writable = mount.type, not is_read_only(mount)
    by = f"mounted as {printable_ascii(kind)}"
    if kind in _OVERLAYS:
        yield from _of_overlay(mount)
    elif kind in DISK_FILE_SYSTEMS:
        yield from _of_device_type(mount)
    elif kind in _OF_THE_KERNEL:
        # A new instance of devpts has no terminals of the host.
        if kind != "devpts" or "newinstance" not in mount.options:
            place = _OF_THE_KERNEL[kind]
            yield Reach(MOUNT, place, place, by, mount.destination, "", writable)
        if kind == "proc" and sees_processes:
            yield Reach(MOUNT, "/", "/", _BY_PROCESSES.format("/proc"), mount.destination, "", writable)
    elif kind.partition(".")[0] in _OF_SERVERS:
        why = "the content of a file server is unknown"
        yield Reach(MOUNT, mount.source or _EVERY_PATH, None, by, mount.destination, why, writable)
    elif kind not in EMPTY_FILE_SYSTEMS:
        yield from _of_unknown(mount)


def _of_unknown(mount: Mount) -> Iterator[Reach]:
    """Yield access to every path and device, for a file system type that is not known here."""
    by, why = f"mounted as {printable_ascii(mount.type)}", "this type of file system is unknown"
    yield Reach(MOUNT, _EVERY_PATH, None, by, mount.destination, why)
    yield Reach(DEVICE, "every device", None, by, mount.destination, why)


def _anything(mount: Mount, by: str, why: str) -> Reach:
    """Return access to every path, through one mount."""
    return Reach(MOUNT, _EVERY_PATH, None, by, mount.destination, why)


def _of_device_type(mount: Mount) -> Iterator[Reach]:
    """Yield the access through a file system on a device: the device itself, and any data of the host on the device."""
    by, writable = f"mounted as {mount.type}", not is_read_only(mount)
    source = mount.source or ""
    found = resolve_device(source)
    yield Reach(DEVICE, source, found.leads_to, by, mount.destination, found.why, writable)
    why = "the host's data on that device is unknown"
    yield Reach(MOUNT, source, None, by, mount.destination, why, writable)
    for key, value in _members(mount.options):
        if key != "subvol" and ("/" in value or "dev" in key):
            found = resolve_device(value)
            by = f"{printable_ascii(key)} of a mount"
            yield Reach(DEVICE, value, found.leads_to, by, mount.destination, found.why, writable)


def _of_overlay(mount: Mount) -> Iterator[Reach]:
    """Yield the folders of the host that an overlay mount names in its options."""
    options, read_only = mount.options, is_read_only(mount)
    # Options are joined by commas, so a final backslash escapes the comma before the next option.
    if any(_CUT_ESCAPE.search(option) for option in options[:-1]):
        yield _anything(mount, "overlay mount", "a backslash at the end of an option merges it with the next option")
    for key, value in _members(options):
        layered = key not in {"upperdir", "workdir", "lowerdir+", "datadir+"}
        if layered and key != "lowerdir" and "/" not in value:
            continue
        paths = [_unescaped(layer) for layer in _UNESCAPED_COLON.findall(value)] if layered else [value]
        for path in dict.fromkeys(paths if layered else [*paths, _unescaped(value)]):
            if path:
                found = resolve(path)
                by = f"{printable_ascii(key)} of an overlay mount"
                writable = key in {"upperdir", "workdir"} and not read_only
                yield Reach(MOUNT, path, found.leads_to, by, mount.destination, found.why, writable)


def _members(options: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each ``KEY=VALUE`` of the options, in every way in which a kernel may split them.

    Kernels split options at commas. Some kernels take a comma after a backslash as part of an overlay value, others do
    not, so both readings are yielded.
    """
    found: dict[tuple[str, str], None] = {}
    for option in options:
        for piece in (*_UNESCAPED_COMMA.findall(option), *option.split(",")):
            key, mark, value = piece.partition("=")
            if mark:
                found[key.strip().lower(), value] = None
    yield from found


def _unescaped(text: str) -> str:
    """Remove the backslashes of a value, as overlayfs does."""
    return _ESCAPE.sub(r"\1", text)


def _is_too_long(options: Sequence[str]) -> bool:
    """Return True if the kernel may cut the options off. Counting characters first avoids joining very long options."""
    return len(options) > _MOST_OPTIONS or (
        sum(map(len, options)) + len(options) > _MOST_OPTION_BYTES
        or len(",".join(options).encode()) > _MOST_OPTION_BYTES
    )
