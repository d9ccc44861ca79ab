"""What a plugin's config alone tells of whether it can be enabled, and used: pure decisions."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Final

from mirror.plugin import known_config_findings as known
from mirror.plugin.config import Mount, PluginConfig
from mirror.plugin.findings import Finding
from mirror.plugin.mount_reach import of_config as reached
from mirror.plugin.privilege_pattern import described
from mirror.plugin.settings import settable

#: Longest name of a socket in bytes: paths of sockets end at 107, /run/docker/plugins/ID/ takes 85 of them.
MOST_SOCKET_BYTES: Final = 22

_TYPE: Final = re.compile(r"[^./]+\.[^/]+/.+")
_KNOWN_TYPES: Final = frozenset(
    f"docker.{capability}/1.0"
    for capability in (
        *("volumedriver", "networkdriver", "ipamdriver", "authz", "graphdriver", "logdriver"),
        *("metricscollector", "secretprovider", "csinode", "csicontroller"),
    )
)
_CAPABILITY_NAMES: Final = """
    AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH
    FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN
    NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT
    SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM
"""
#: capabilities(7), Linux 5.9 and later.
_CAPABILITIES: Final = frozenset(f"CAP_{name}" for name in _CAPABILITY_NAMES.split())
_HTTP_SCHEMES: Final = frozenset({"", "moby.plugins.http/v1"})
_BOUND: Final = frozenset({"bind", "rbind"})
_HOST_PATHS: Final = """
    / /bin /boot /dev /etc /home /lib /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr /var
    /var/lib /var/log /var/run /var/tmp /dev/null /dev/zero /dev/random /dev/urandom /dev/tty /lib/modules
    /run/docker /var/run/docker /var/run/docker.sock /run/docker.sock /etc/passwd /etc/group /etc/hosts /etc/resolv.conf
"""
#: What every Linux host with an engine has.
_EVERYWHERE: Final = frozenset(_HOST_PATHS.split())


def of_config(config: PluginConfig) -> Iterator[Finding]:
    """Everything that is wrong with a config, in its own order."""
    if not config.entrypoint and not config.args.value:
        yield known.entrypoint_empty()
    if config.work_dir and not config.work_dir.startswith("/"):
        yield known.work_dir_relative(config.work_dir)
    yield from _of_interface(config)
    yield from _of_mounts(config)
    yield from _of_devices(config)
    yield from (known.mount_reach(described(reach)) for reach in reached(config) if reach.how)
    for name in config.capabilities:
        if name not in _CAPABILITIES:
            yield known.capability_unknown(name)
    if config.network_type not in {"", "null", "none", "host"}:
        yield known.network_type(config.network_type)
    if config.ipc_host or config.pid_host:
        yield known.namespaces_dropped()
    if any(config.user_ids):
        yield known.user_ignored(*config.user_ids)
    absent = [path for path in _host_paths(config) if posixpath.normpath(path) not in _EVERYWHERE]
    if absent:
        yield known.host_paths(absent)


def covering_mount(config: PluginConfig, path: str) -> Mount | None:
    """The mount under which a path of the plugin lies: what is in its root filesystem there is not seen."""
    for mount in config.mounts:
        place = posixpath.normpath(posixpath.join("/", mount.destination)).rstrip("/")
        if mount.destination and f"{path}/".startswith(f"{place}/"):
            return mount
    return None


def _of_interface(config: PluginConfig) -> Iterator[Finding]:
    interface = config.interface
    if interface.protocol_scheme not in _HTTP_SCHEMES:
        yield known.protocol_scheme(interface.protocol_scheme)
    elif not interface.socket:
        yield known.socket_empty()
    elif len(interface.socket.encode()) > MOST_SOCKET_BYTES:
        yield known.socket_long(interface.socket, MOST_SOCKET_BYTES)
    if not interface.types:
        yield known.types_missing()
    for name in interface.types:
        if not _TYPE.fullmatch(name):
            yield known.type_mangled(name)
        elif name not in _KNOWN_TYPES:
            yield known.type_unknown(name)


def _of_mounts(config: PluginConfig) -> Iterator[Finding]:
    keys = {setting.key.partition(".")[0]: setting.key for setting in settable(config) if setting.kind == "mount"}
    for mount in config.mounts:
        bound = bool(_BOUND & set(mount.options))
        if mount.source is None:
            yield known.mount_source_missing(mount.name or mount.destination, keys.get(mount.name))
        elif mount.source and not mount.source.startswith("/") and (bound or mount.type in _BOUND):
            yield known.mount_source_relative(mount.source)
        if not mount.destination:
            yield known.mount_destination_empty(mount.source or mount.name)
        elif posixpath.normpath(mount.destination) == "/run/docker/plugins":
            yield known.plugins_folder_hidden()
        if not bound and mount.type in {"", *_BOUND}:
            yield known.mount_unbound(mount.source or mount.name, mount.destination)


def _of_devices(config: PluginConfig) -> Iterator[Finding]:
    keys = {setting.key.partition(".")[0]: setting.key for setting in settable(config) if setting.kind == "device"}
    for device in config.devices:
        if device.path is None:
            yield known.device_path_missing(device.name, keys.get(device.name))


def _host_paths(config: PluginConfig) -> Iterator[str]:
    """What must be there on the host."""
    for mount in config.mounts:
        if mount.source and mount.source.startswith("/") and _BOUND & set(mount.options):
            yield mount.source
    for device in config.devices:
        if device.path:
            yield device.path
