"""Checks of a plugin's config for faults that prevent enabling or using the plugin. Pure decisions."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Final

from mirror.plugin.config.mount_reach import config_reaches
from mirror.plugin.config.plugin_config import Mount, PluginConfig
from mirror.plugin.config.settable import list_settings
from mirror.plugin.findings import config_findings as table
from mirror.plugin.findings.finding import Finding
from mirror.plugin.lint.placeholders import check_placeholders

#: Longest name of a socket in bytes. A socket path has at most 107 bytes; /run/docker/plugins/ID/ takes 85 of them.
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
# With another scheme the engine builds no HTTP client for the plugin, so its socket is not checked.
_HTTP_SCHEMES: Final = frozenset({"", "moby.plugins.http/v1"})
_BOUND: Final = frozenset({"bind", "rbind"})
_HOST_PATHS: Final = """
    / /bin /boot /dev /etc /home /lib /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr /var
    /var/lib /var/log /var/run /var/tmp /dev/null /dev/zero /dev/random /dev/urandom /dev/tty /lib/modules
    /run/docker /var/run/docker /var/run/docker.sock /run/docker.sock /etc/passwd /etc/group /etc/hosts /etc/resolv.conf
"""
#: Paths that exist on every Linux host with an engine.
_EVERYWHERE: Final = frozenset(_HOST_PATHS.split())


def check_config(config: PluginConfig) -> Iterator[Finding]:
    """Yield all findings about a config, in the order of the checks."""
    if not config.entrypoint and not config.args.value:
        yield table.ENTRYPOINT_EMPTY()
    if config.work_dir and not config.work_dir.startswith("/"):
        yield table.WORK_DIR_RELATIVE(work_dir=config.work_dir, absolute=f"/{config.work_dir}")
    yield from _check_interface(config)
    yield from _check_mounts(config)
    yield from _check_devices(config)
    # Access without ``how`` is exactly the access that the engine asks for.
    yield from (table.MOUNT_REACH(reach=reach.description) for reach in config_reaches(config) if reach.how)
    for name in config.capabilities:
        if name not in _CAPABILITIES:
            yield table.CAPABILITY_UNKNOWN(name=name)
    if config.network_type not in {"", "null", "none", "host"}:
        yield table.NETWORK_TYPE(name=config.network_type)
    if config.ipc_host or config.pid_host:
        yield table.NAMESPACES_DROPPED()
    user_id, group_id = config.user_ids
    # Engines build the runtime's configuration without User, so the program runs as root.
    if user_id or group_id:
        yield table.USER_IGNORED(user_id=user_id, group_id=group_id)
    yield from check_placeholders(config)
    absent = [path for path in _host_paths(config) if posixpath.normpath(path) not in _EVERYWHERE]
    if absent:
        yield table.HOST_PATHS(paths=absent)


def covering_mount(config: PluginConfig, path: str) -> Mount | None:
    """Return the mount that hides a path of the plugin's root filesystem; None if no mount does."""
    for mount in config.mounts:
        place = posixpath.normpath(posixpath.join("/", mount.destination)).rstrip("/")
        if mount.destination and f"{path}/".startswith(f"{place}/"):
            return mount
    return None


def _check_interface(config: PluginConfig) -> Iterator[Finding]:
    """Yield findings about the interface: protocol, socket and types."""
    interface = config.interface
    if interface.protocol_scheme not in _HTTP_SCHEMES:
        yield table.PROTOCOL_SCHEME(scheme=interface.protocol_scheme)
    elif not interface.socket:
        yield table.SOCKET_EMPTY()
    elif len(interface.socket.encode()) > MOST_SOCKET_BYTES:
        yield table.SOCKET_LONG(socket=interface.socket, most_bytes=MOST_SOCKET_BYTES)
    if not interface.types:
        yield table.TYPES_MISSING()
    for name in interface.types:
        if not _TYPE.fullmatch(name):
            yield table.TYPE_MANGLED(name=name)
        elif name not in _KNOWN_TYPES:
            yield table.TYPE_UNKNOWN(name=name)


def _check_mounts(config: PluginConfig) -> Iterator[Finding]:
    """Yield findings about each mount."""
    # An unset source is an error only if no host can set it.
    keys = _setting_keys(config, "mount")
    for mount in config.mounts:
        bound = bool(_BOUND & set(mount.options))
        if mount.source is None:
            name = mount.name or mount.destination
            if key := keys.get(mount.name):
                yield table.MOUNT_SOURCE_UNSET(name=name, key=key)
            else:
                yield table.MOUNT_SOURCE_MISSING(name=name)
        elif mount.source and not mount.source.startswith("/") and (bound or mount.type in _BOUND):
            yield table.MOUNT_SOURCE_RELATIVE(source=mount.source)
        if not mount.destination:
            yield table.MOUNT_DESTINATION_EMPTY(source=mount.source or mount.name)
        elif posixpath.normpath(mount.destination) == "/run/docker/plugins":
            yield table.PLUGINS_FOLDER_HIDDEN()
        if not bound and mount.type in {"", *_BOUND}:
            yield table.MOUNT_UNBOUND(source=mount.source or mount.name, destination=mount.destination)


def _check_devices(config: PluginConfig) -> Iterator[Finding]:
    """Yield findings about each device."""
    keys = _setting_keys(config, "device")
    for device in config.devices:
        if device.path is None:
            if key := keys.get(device.name):
                yield table.DEVICE_PATH_UNSET(name=device.name, key=key)
            else:
                yield table.DEVICE_PATH_MISSING(name=device.name)


def _setting_keys(config: PluginConfig, kind: str) -> dict[str, str]:
    """Return the keys of settings, by the name of the mount or device that each sets."""
    return {setting.key.partition(".")[0]: setting.key for setting in list_settings(config) if setting.kind == kind}


def _host_paths(config: PluginConfig) -> Iterator[str]:
    """Yield the paths that must exist on the host."""
    for mount in config.mounts:
        if mount.source and mount.source.startswith("/") and _BOUND & set(mount.options):
            yield mount.source
    for device in config.devices:
        if device.path:
            yield device.path
