"""Checks of mounts and devices, as far as the config alone shows a fault. Pure decisions."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator
from typing import Final

from mirror.plugin.config.dropped_mounts import dropped_mounts, with_made_mounts
from mirror.plugin.config.host_path import is_within, resolve
from mirror.plugin.config.host_preparation import HostKind, has_bind_option, host_kind, host_preparation
from mirror.plugin.config.mount_reach import DISK_FILE_SYSTEMS, EMPTY_FILE_SYSTEMS, FILE_SYSTEMS, config_reaches
from mirror.plugin.config.plugin_config import Mount, PluginConfig
from mirror.plugin.config.settable import Setting, settings_by_item
from mirror.plugin.findings import mount_findings as table
from mirror.plugin.findings.finding import Finding

#: Words that other tools use for bind mounts and volumes, and that no kernel has a file system for.
_NOT_FILE_SYSTEMS: Final = frozenset({"", "none", "bind", "rbind", "volume", "npipe"})
#: File systems that are no mistake.
_KNOWN: Final = FILE_SYSTEMS.union({"aufs", "beegfs", "ecryptfs", "gpfs", "orangefs", "virtiofs"})
#: File systems whose source is not always a path: a pool, or a volume of raw flash.
_NAMED_SOURCES: Final = frozenset({"bcachefs", "jffs2", "ubifs", "zfs"})
_REPLACEABLE_NAMES: Final = """
    cpuinfo diskstats meminfo stat swaps uptime loadavg slabinfo net/dev sys/kernel/ns_last_pid sys/crypto/fips_enabled
"""
#: Files of /proc that runc lets a bind mount replace.
_REPLACEABLE: Final = frozenset(f"/proc/{name}" for name in _REPLACEABLE_NAMES.split())
#: Folders of /sys on all usual hosts.
_IN_SYS: Final = tuple(
    f"/sys/{name}"
    for name in ("block", "bus", "class", "dev", "devices", "firmware", "fs", "kernel", "module", "power")
)


def check_mounts(config: PluginConfig) -> Iterator[Finding]:
    """Yield findings about mounts, the propagated mount and devices, then those about paths on the host."""
    settings = settings_by_item(config)
    dropped = dropped_mounts(config)
    brought = frozenset(place_of(mount.destination) for mount in config.mounts)
    for number, mount in enumerate(config.mounts):
        if number in dropped and mount.source is not None:
            yield table.MOUNT_DROPPED(mount=described(mount), destination=mount.destination)
            continue
        yield from _check_source(mount, settings.get(("mount", mount.name)))
        yield from _check_type(mount, can_be_set=("mount", mount.name) in settings)
        yield from _check_destination(mount, brought - {place_of(mount.destination)})
    places = Counter(place_of(mount.destination) for mount in with_made_mounts(config).mounts if mount.destination)
    for place, count in places.items():
        if count > 1:
            yield table.MOUNT_TWICE(destination=place)
    if config.propagated_mount:
        yield from _check_propagated(config.propagated_mount)
    yield from _check_devices(config, settings)
    # Access without ``how`` is exactly the access that the engine asks for. Empty names have findings of their own.
    reaches = (reach for reach in config_reaches(config) if reach.how and reach.named)
    yield from (table.MOUNT_REACH(reach=reach.description) for reach in reaches)
    preparation = host_preparation(config)
    if preparation.paths:
        yield table.HOST_PATHS(paths=preparation.paths, preparation=preparation.sentence)


def place_of(path: str) -> str:
    """Return a path in a plugin as an absolute path without detours, as runc reads a destination."""
    return "/" + posixpath.normpath(posixpath.join("/", path)).lstrip("/")


def described(mount: Mount) -> str:
    """Return words for a mount in messages."""
    return f"the mount of {mount.source or mount.name or mount.type}"


def _check_source(mount: Mount, setting: Setting | None) -> Iterator[Finding]:
    """Yield findings about the source of a mount."""
    name = mount.name or mount.destination
    if mount.source is None:
        kind = table.MOUNT_SOURCE_NEVER_SET if "source" in mount.settable else table.MOUNT_SOURCE_MISSING
        yield kind(name=name)
    elif not mount.source and has_bind_option(mount):
        if setting is None:
            yield table.MOUNT_SOURCE_EMPTY(name=name)
        else:
            yield table.MOUNT_SOURCE_UNSET(name=name, key=setting.key)
    elif (
        mount.source
        and not mount.source.startswith("/")
        and (has_bind_option(mount) or mount.type in {"bind", "rbind"})
    ):
        yield table.MOUNT_SOURCE_RELATIVE(source=mount.source)


def _check_type(mount: Mount, *, can_be_set: bool) -> Iterator[Finding]:
    """Yield findings about the type of a mount, which only matters for a mount without a bind option."""
    if has_bind_option(mount):
        return
    name, lower, at = mount.type, mount.type.lower(), mount.destination
    source = mount.source or ""
    if lower in _NOT_FILE_SYSTEMS:
        yield table.MOUNT_UNBOUND(source=source or mount.name, destination=at)
    elif name not in FILE_SYSTEMS and lower in FILE_SYSTEMS:
        yield table.MOUNT_TYPE_CASE(name=name, destination=at, wanted=lower)
    elif name.partition(".")[0] not in _KNOWN:
        yield table.MOUNT_TYPE_UNKNOWN(name=name, destination=at)
    elif name == "overlay" and not any(
        part.strip().startswith("lowerdir") for option in mount.options for part in option.split(",")
    ):
        yield table.MOUNT_OVERLAY_EMPTY(destination=at)
    elif name in DISK_FILE_SYSTEMS - _NAMED_SOURCES and source.startswith("/") and not can_be_set:
        leads_to = resolve(source).leads_to
        if leads_to is not None and not is_within(leads_to, "/dev"):
            yield table.MOUNT_NOT_A_DISK(source=source, destination=at, name=name)


def _check_destination(mount: Mount, brought: frozenset[str]) -> Iterator[Finding]:
    """Yield findings about the destination of a mount. Mounts at the other places may bring folders."""
    place = place_of(mount.destination)
    source = mount.source or ""
    if mount.destination and not mount.destination.startswith("/"):
        yield table.MOUNT_DESTINATION_RELATIVE(destination=mount.destination, absolute=place)
    if not mount.destination:
        yield table.MOUNT_DESTINATION_EMPTY(source=source or mount.name)
    elif place == "/":
        # The root folder of the host brings its own /proc, so that only the program may be missing.
        if not (has_bind_option(mount) and source.startswith("/") and place_of(source) == "/"):
            yield table.MOUNT_DESTINATION_ROOT(source=source or mount.name)
    elif is_within(place, "/run/docker/plugins"):
        yield table.PLUGINS_FOLDER_HIDDEN(destination=place)
    elif place == "/proc" and not has_bind_option(mount) and mount.type in EMPTY_FILE_SYSTEMS:
        yield table.MOUNT_IN_PROC(mount=described(mount), destination=place)
    elif is_within(place, "/sys") and place != "/sys" and place_of(source) != place:
        # A mount over /sys itself may bring the folder.
        if not any(is_within(place, folder) for folder in (*_IN_SYS, *brought)):
            yield table.MOUNT_IN_SYS(mount=described(mount), destination=place)
    elif has_bind_option(mount):
        # Of a folder that is the same on all hosts, it is known that it has no devices and is no procfs.
        is_other = host_kind(source) is HostKind.FOLDER and not is_within(place_of(source), place)
        if place == "/dev" and is_other:
            yield table.MOUNT_OVER_DEV(mount=described(mount))
        elif (place == "/proc" and is_other) or (place.startswith("/proc/") and place not in _REPLACEABLE):
            yield table.MOUNT_IN_PROC(mount=described(mount), destination=place)


def _check_propagated(path: str) -> Iterator[Finding]:
    """Yield findings about the folder of PropagatedMount, over which the engine mounts an empty folder."""
    place = place_of(path)
    if path.rstrip("/") != place.rstrip("/"):
        yield table.PROPAGATED_MOUNT_SPELLING(path=path, absolute=place)
    if place == "/":
        yield table.PROPAGATED_MOUNT_ROOT(path=path)
    elif place == "/dev":
        yield table.MOUNT_OVER_DEV(mount="PropagatedMount")
    elif is_within(place, "/proc"):
        yield table.MOUNT_IN_PROC(mount="PropagatedMount", destination=place)


def _check_devices(config: PluginConfig, settings: dict[tuple[str, str], Setting]) -> Iterator[Finding]:
    """Yield findings about each device."""
    for device in config.devices:
        setting = settings.get(("device", device.name))
        if device.path is None:
            kind = table.DEVICE_PATH_NEVER_SET if "path" in device.settable else table.DEVICE_PATH_MISSING
            yield kind(name=device.name)
        elif not device.path:
            if setting is None:
                yield table.DEVICE_PATH_EMPTY(name=device.name)
            else:
                yield table.DEVICE_PATH_UNSET(name=device.name, key=setting.key)
        elif host_kind(device.path) is HostKind.FILE:
            yield table.DEVICE_NOT_A_NODE(path=device.path)
