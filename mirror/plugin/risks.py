"""What a plugin's privileges mean for the host, in plain words. A plugin always runs as root."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator
from typing import Final

from mirror.plugin import privileges
from mirror.plugin.config import PluginConfig
from mirror.plugin.privileges import Privilege

_WHOLE: Final = {
    "host ipc namespace": "It shares memory and semaphores with the host's processes.",
    "host pid namespace": "It sees every process of the host, and as root can signal them.",
    "allow-all-devices": "It reads and writes every device, the host's disks among them: as good as root on the host.",
}
_ENGINE: Final = "It commands the engine, and so starts anything as root on the host."
_KERNEL: Final = "It reaches the host's kernel and devices through it."
_PATHS: Final = {
    "": "None as it stands: there is no source.",
    "/var/run/docker.sock": _ENGINE,
    "/run/docker.sock": _ENGINE,
    "/run/containerd/containerd.sock": _ENGINE,
    "/dev": _KERNEL,
    "/proc": _KERNEL,
    "/sys": _KERNEL,
}
_HOLDING_SOCKETS: Final = frozenset({"/var/run", "/run", "/var", "/run/containerd"})
_OF_THE_HOST: Final = frozenset({"/bin", "/boot", "/etc", "/lib", "/root", "/sbin", "/usr"})
_CAPABILITIES: Final = {
    "ALL": "everything that root may do",
    "CAP_SYS_ADMIN": "mounts filesystems and much besides: as good as root on the host",
    "CAP_SYS_MODULE": "loads code into the host's kernel",
    "CAP_SYS_RAWIO": "reads and writes the host's memory and disks past the kernel",
    "CAP_SYS_PTRACE": "reads and changes other processes that it sees",
    "CAP_SYS_BOOT": "restarts the host",
    "CAP_SYS_TIME": "sets the host's clock",
    "CAP_SYS_CHROOT": "changes its root folder",
    "CAP_NET_ADMIN": "changes addresses, routes and firewall rules of its network",
    "CAP_NET_RAW": "sends and reads raw packets on its network",
    "CAP_DAC_READ_SEARCH": "opens any file of the host, whatever is mounted",
    "CAP_DAC_OVERRIDE": "reads and writes files whatever their permissions",
    "CAP_MKNOD": "makes device files",
    "CAP_BPF": "loads programs into the host's kernel",
    "CAP_SYSLOG": "reads the kernel's log",
}


def privileges_with_risks(config: PluginConfig) -> Iterator[tuple[Privilege, str]]:
    """What an engine asks for, and what a host gives away with it: in one sentence, or one for each capability."""
    writable = {mount.source for mount in config.mounts if "ro" not in mount.options}
    for privilege in privileges.compute(config):
        yield privilege, _risk(privilege, writable)


def _risk(privilege: Privilege, writable: Collection[str | None]) -> str:
    value = privilege.values[0]
    match privilege.name:
        case "network":
            return _network(value)
        case "mount":
            return _mount(value, read_only=value not in writable)
        case "device":
            return f"It reads and writes the device {value} directly."
        case "capabilities":
            return " ".join(_capability(name) for name in privilege.values)
        case _:
            return _WHOLE[privilege.name]


def _network(kind: str) -> str:
    if kind == "host":
        return "It is on the host's own network: it sees its traffic, and reaches what listens on 127.0.0.1."
    return "None: engines give it only the loopback, and the host's /etc/hosts and resolv.conf."


def _mount(source: str, *, read_only: bool) -> str:
    path = posixpath.normpath(source) if source else ""
    if path in _PATHS:
        return _PATHS[path]
    does = "reads" if read_only else "reads and writes"
    if path == "/":
        return (
            f"It {does} every file of the host: {'its secrets, too' if read_only else 'as good as root on the host'}."
        )
    if path in _HOLDING_SOCKETS:
        return f"It reaches the sockets of the host's services in {path}, the engine's own among them."
    if path in _OF_THE_HOST and not read_only:
        return f"It changes the host's own files in {path}: as good as root on the host."
    return f"It {does} {path} of the host, as root."


def _capability(name: str) -> str:
    return f"{name}: {_CAPABILITIES.get(name, 'a right that containers do not have by default, or may not need')}."
