"""Risks of a plugin's privileges for the host, in plain words. A plugin always runs as root."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mirror.oci.printable_text import printable
from mirror.plugin.config.host_path import is_within
from mirror.plugin.config.mount_reach import DEVICE, Reach, device_reach, mount_reaches
from mirror.plugin.config.plugin_config import Mount, PluginConfig
from mirror.plugin.config.privileges import Privilege, compute_privileges

_WHOLE: Final = {
    "host ipc namespace": "It shares memory and semaphores with the host's processes.",
    "host pid namespace": "It sees every process of the host, and can signal them as root.",
    "allow-all-devices": "It reads and writes every device, including the host's disks: as good as root on the host.",
}
_ENGINE: Final = "It controls the engine, and so can start anything as root on the host."
_KERNEL: Final = "It gets access to the host's kernel and devices."
_SOCKETS: Final = "It gets access to the sockets of the host's services in {}, including the engine's own."
_PATHS: Final = {
    "": "None as long as no source is set.",
    "/run/docker.sock": _ENGINE,
    "/run/containerd/containerd.sock": _ENGINE,
    "/run": _SOCKETS.format("/run"),
    "/run/containerd": _SOCKETS.format("/run/containerd"),
    "/dev": _KERNEL,
    "/proc": _KERNEL,
    "/sys": _KERNEL,
}
_OF_THE_HOST: Final = frozenset(
    {"/boot", "/etc", "/root", "/usr", "/usr/bin", "/usr/lib", "/usr/sbin", "/var", "/var/lib"}
)
_OF_THE_ENGINE: Final = ("/var/lib/docker", "/var/lib/containerd")
_CAPABILITIES: Final = {
    "ALL": "everything that root may do",
    "CAP_SYS_ADMIN": "mounts filesystems and much more: as good as root on the host",
    "CAP_SYS_MODULE": "loads code into the host's kernel",
    "CAP_SYS_RAWIO": "reads and writes the host's memory and disks directly, bypassing the kernel",
    "CAP_SYS_PTRACE": "reads and changes other processes that it sees",
    "CAP_SYS_BOOT": "restarts the host",
    "CAP_SYS_TIME": "sets the host's clock",
    "CAP_SYS_CHROOT": "changes its root folder",
    "CAP_NET_ADMIN": "changes addresses, routes and firewall rules of its network",
    "CAP_NET_RAW": "sends and reads raw packets on its network",
    "CAP_DAC_READ_SEARCH": "opens any file of the host, even outside the plugin's mounts",
    "CAP_DAC_OVERRIDE": "reads and writes files regardless of their permissions",
    "CAP_MKNOD": "makes device files",
    "CAP_BPF": "loads programs into the host's kernel",
    "CAP_SYSLOG": "reads the kernel's log",
}


def privileges_with_risks(config: PluginConfig) -> Iterator[tuple[Privilege, str]]:
    """Yield the privileges that an engine asks for, each with sentences about the access to the host that it gives."""
    # A privilege names only the source. Its mount is found by order: engines ask for each mount with a source in turn.
    mounts = iter([mount for mount in config.mounts if mount.source is not None])
    for privilege in compute_privileges(config):
        match privilege.name:
            case "mount":
                risk = _mount(next(mounts), sees_processes=config.pid_host)
            case "device":
                path = privilege.values[0]
                risk = _reached(device_reach(path)) if path else "It reads and writes the device that the host sets."
            case "network":
                risk = _network(privilege.values[0])
            case "capabilities":
                risk = " ".join(_capability(name) for name in privilege.values)
            case name:
                risk = _WHOLE[name]
        yield privilege, risk


def _network(kind: str) -> str:
    """Return the risk of a network type."""
    if kind == "host":
        return "It is on the host's own network: it sees the traffic, and reaches services that listen on 127.0.0.1."
    return "None: engines give it only the loopback interface, and the host's /etc/hosts and resolv.conf."


def _mount(mount: Mount, *, sees_processes: bool) -> str:
    """Return the risks of a mount, and a note if a host may set another source."""
    told = [_reached(reach) for reach in mount_reaches(mount, sees_processes=sees_processes)]
    if not told:
        told = ["None: the mount is new and empty."]
    if "source" in mount.settable:
        told.append("A host may set another source.")
    return " ".join(dict.fromkeys(told))


def _reached(reach: Reach) -> str:
    """Describe a reach in one sentence. The sentence names the reach unless the engine asks for exactly this path."""
    does = "reads and writes" if reach.writable else "reads"
    if reach.leads_to is None:
        what = f"any {'device' if reach.kind == DEVICE else 'path'} of the host"
        return f"{reach.description}: it possibly {does} {what}."
    if reach.kind == DEVICE:
        risk = f"It {does} the device {printable(reach.named, 200)} directly."
    else:
        risk = _path(reach.leads_to, reach.named, writable=reach.writable)
    return f"{reach.description}: {risk}" if reach.by else risk


def _path(path: str, named: str, *, writable: bool) -> str:
    """Return the risk of access to a path of the host."""
    if path in _PATHS:
        return _PATHS[path]
    does = "reads and writes" if writable else "reads"
    if path == "/":
        return f"It {does} every file of the host: {'as good as root on the host' if writable else 'also its secrets'}."
    if not path.startswith("/"):
        return f"It {does} {printable(path, 200)} in a folder that the engine makes for it; usually nothing is there."
    place = printable(named.rstrip("/"), 200)
    if writable and path in _OF_THE_HOST:
        return f"It can change the host's own files in {place}: as good as root on the host."
    if writable and any(is_within(path, folder) for folder in _OF_THE_ENGINE):
        return f"It can change the engine's data in {place}, which the engine runs: as good as root on the host."
    return f"It {does} {place} of the host, as root."


def _capability(name: str) -> str:
    """Return the risk of a capability."""
    return f"{name}: {_CAPABILITIES.get(name, 'a right that containers lack by default, or may not need')}."
