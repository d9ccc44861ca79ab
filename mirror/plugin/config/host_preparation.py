"""Paths that a plugin needs on a host: those that every host has, and the commands that make the others.

The lists hold only paths that have the same kind on every Linux host with an engine, if they exist. The kind of any
other path is unknown.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mirror.oci.printable_text import printable_ascii
from mirror.plugin.config.dropped_mounts import with_made_mounts
from mirror.plugin.config.host_path import tidy
from mirror.plugin.config.mount_reach import BIND_OPTIONS
from mirror.plugin.config.plugin_config import Mount, PluginConfig


class HostKind(Enum):
    """Kinds of paths on a host. A socket counts as a file, because a mount treats both alike."""

    FOLDER = "folder"
    FILE = "file"
    DEVICE = "device"


_FOLDERS: Final = """
    / /bin /boot /dev /etc /home /lib /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr /var /var/lib /var/log
    /var/run /var/tmp /run/docker /var/run/docker /dev/pts /dev/shm /proc/sys /sys/fs /sys/fs/cgroup /sys/kernel
    /sys/devices /sys/class /usr/bin /usr/sbin /usr/lib /usr/local /usr/share /var/cache
"""
_FILES: Final = "/etc/passwd /etc/group /etc/hosts /etc/resolv.conf"
_DEVICES: Final = "/dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/ptmx"
_FOLDERS_OF_SOME: Final = """
    /lib/modules /usr/lib/modules /lib/firmware /lib64 /usr/src /var/lib/docker /sys/kernel/debug /sys/fs/bpf /dev/net
    /dev/mapper /dev/dri /dev/snd /dev/infiniband /dev/vfio /dev/disk /dev/mqueue /dev/hugepages /run/systemd /run/udev
    /etc/docker /etc/ssl /etc/ssl/certs /etc/systemd /run/docker/plugins /var/run/docker/plugins
"""
_FILES_OF_SOME: Final = """
    /etc/hostname /etc/localtime /etc/machine-id /etc/os-release /etc/shadow /etc/fstab /etc/nsswitch.conf /etc/timezone
    /etc/mtab /etc/services /etc/docker/daemon.json /var/run/docker.sock /run/docker.sock /dev/log
    /run/containerd/containerd.sock /var/run/containerd/containerd.sock /run/dbus/system_bus_socket
    /var/run/dbus/system_bus_socket
"""
#: Paths that exist on every Linux host with an engine.
_EVERYWHERE: Final = frozenset(f"{_FOLDERS} {_FILES} {_DEVICES}".split())
#: Kinds of these paths, and of paths that only some hosts have, but always of one kind.
_KINDS: Final = {
    **dict.fromkeys(f"{_FOLDERS} {_FOLDERS_OF_SOME}".split(), HostKind.FOLDER),
    **dict.fromkeys(f"{_FILES} {_FILES_OF_SOME}".split(), HostKind.FILE),
    **dict.fromkeys(_DEVICES.split(), HostKind.DEVICE),
}
#: Kernel modules by the devices that they make. Of several modules, a host needs the one for its processor.
_MODULES: Final = (
    (re.compile(r"/dev/fuse"), "fuse"),
    (re.compile(r"/dev/cuse"), "cuse"),
    (re.compile(r"/dev/net/tun"), "tun"),
    (re.compile(r"/dev/kvm"), "kvm_intel kvm_amd"),
    (re.compile(r"/dev/vhost-net"), "vhost_net"),
    (re.compile(r"/dev/vhost-vsock"), "vhost_vsock"),
    (re.compile(r"/dev/nbd[0-9p]+"), "nbd"),
    (re.compile(r"/dev/rbd[0-9p]+"), "rbd"),
    (re.compile(r"/dev/drbd[0-9]+"), "drbd"),
    (re.compile(r"/dev/loop(-control|[0-9p]+)"), "loop"),
    (re.compile(r"/dev/mapper/control|/dev/dm-[0-9]+"), "dm_mod"),
    (re.compile(r"/dev/md[0-9]+"), "md_mod"),
    (re.compile(r"/dev/btrfs-control"), "btrfs"),
    (re.compile(r"/dev/zfs"), "zfs"),
    (re.compile(r"/dev/ppp"), "ppp_generic"),
    (re.compile(r"/dev/uinput"), "uinput"),
    (re.compile(r"/dev/uhid"), "uhid"),
    (re.compile(r"/dev/vfio(/vfio)?"), "vfio"),
    (re.compile(r"/dev/infiniband(/uverbs[0-9]+)?"), "ib_uverbs"),
    (re.compile(r"/dev/infiniband/rdma_cm|/dev/rdma_cm"), "rdma_ucm"),
    (re.compile(r"/dev/autofs"), "autofs4"),
    (re.compile(r"/dev/cachefiles"), "cachefiles"),
    (re.compile(r"/dev/ublk-control"), "ublk_drv"),
    (re.compile(r"/dev/ipmi[0-9]+|/dev/ipmi/[0-9]+"), "ipmi_devintf"),
    (re.compile(r"/dev/watchdog[0-9]*"), "softdog"),
)
#: Devices that no module makes by itself: disks, terminals and memory.
_DEVICE_NAME: Final = re.compile(
    r"/dev/((sd|vd|xvd|hd)[a-z]+[0-9]*|nvme[0-9]+(n[0-9]+(p[0-9]+)?)?|tty[A-Z0-9]+|k?mem|kmsg)"
)
#: Endings of files. A folder such as ``conf.d`` has none of them.
_FILE_NAME: Final = re.compile(
    r".*\.(sock|socket|conf|cfg|ini|json|ya?ml|toml|xml|txt|pem|crt|cert|cer|key|pub|p12|jks|keytab|keyring|token|log|pid"
    r"|lock|db|sh|py|so(\.[0-9.]+)?|ko|img|iso|gz|tgz|zip)"
)
#: Folders in which no command makes a missing path.
_OF_THE_KERNEL: Final = ("/dev", "/proc", "/sys")
#: Most paths in the commands of one finding.
_MOST_PATHS: Final = 10


def host_kind(path: str) -> HostKind | None:
    """Return the kind that a path has on every host that has the path; None if unknown."""
    clean = tidy(path)
    return _KINDS.get(clean) or (HostKind.DEVICE if _module(clean) or _DEVICE_NAME.fullmatch(clean) else None)


def has_bind_option(mount: Mount) -> bool:
    """Return True if runc makes a bind mount, whatever the type is."""
    return not BIND_OPTIONS.isdisjoint(mount.options)


@dataclass(frozen=True, slots=True)
class HostPreparation:
    """Paths that some hosts lack, by the way to get them. Each path occurs once.

    Attributes:
        folders: folders to make. The kind is a guess for paths without a known kind or ending.
        files: files and sockets, which a service or a person must make.
        devices: devices and folders of the kernel.
        modules: kernel modules that make some of the devices; alternatives are separated by a space.
    """

    folders: tuple[str, ...]
    files: tuple[str, ...]
    devices: tuple[str, ...]
    modules: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths."""
        return (*self.folders, *self.files, *self.devices)

    @property
    def commands(self) -> tuple[str, ...]:
        """Commands for a shell of the host that make the folders and load the modules."""
        # A name that would be changed or cut in the message is left out: the command would make another folder.
        plain = [path for path in self.folders if printable_ascii(path) == path]
        folders = " ".join(shlex.quote(path) for path in plain[:_MOST_PATHS])
        made = (f"mkdir -p {folders}",) if folders else ()
        return (*made, *(" || ".join(f"modprobe {name}" for name in module.split()) for module in self.modules))

    @property
    def sentence(self) -> str:
        """The commands, and the paths that no command makes, as one line."""
        parts = [f"run on the host first: {', '.join(map(repr, self.commands))}"] if self.commands else []
        if self.files:
            parts.append(f"files that must exist: {_listed(self.files)}")
        rest = [path for path in self.devices if _module(path) is None]
        if rest:
            parts.append(f"devices that the host must have: {_listed(rest)}")
        return "; ".join(parts) or "create the paths on the host first"


def host_preparation(config: PluginConfig) -> HostPreparation:
    """Return the paths of a config's bind mounts and devices that some hosts lack."""
    folders: list[str] = []
    files: list[str] = []
    devices: list[str] = []
    modules: list[str] = []
    for path, is_device in dict.fromkeys(_needed(config)):
        if path in _EVERYWHERE:
            continue
        if is_device or path.startswith(tuple(f"{folder}/" for folder in _OF_THE_KERNEL)):
            devices.append(path)
            modules += [module] if (module := _module(path)) else []
        elif host_kind(path) is HostKind.FILE or _FILE_NAME.fullmatch(posixpath.basename(path)):
            files.append(path)
        else:
            folders.append(path)
    return HostPreparation(*(tuple(dict.fromkeys(some)) for some in (folders, files, devices, modules)))


def _needed(config: PluginConfig) -> Iterator[tuple[str, bool]]:
    """Yield the cleaned absolute paths that must exist on the host, and True for devices."""
    for mount in with_made_mounts(config).mounts:
        if mount.source and mount.source.startswith("/") and has_bind_option(mount):
            yield tidy(mount.source), False
    for device in config.devices:
        if device.path:
            yield tidy(device.path), True


def _module(path: str) -> str | None:
    """Return the kernel module that makes a device; None if unknown."""
    return next((module for pattern, module in _MODULES if pattern.fullmatch(path)), None)


def _listed(paths: Iterable[str]) -> str:
    """Return paths as a part of a message."""
    return ", ".join(printable_ascii(path) for path in list(paths)[:_MOST_PATHS])
