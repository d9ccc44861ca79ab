"""Checks of the file system of a host: folders, devices, kernel modules, and the data root of the engine. Pure."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from mirror.hosts.checks.host_check import HostCheck, Step, ok, or_ok, problem, unknown, warning
from mirror.hosts.checks.host_facts import HostFacts, HostFiles, PathKind
from mirror.hosts.checks.wanted_plugin import WantedPlugin
from mirror.oci.printable_text import printable
from mirror.plugin.config.dropped_mounts import with_made_mounts
from mirror.plugin.config.host_preparation import has_bind_option, host_preparation
from mirror.plugin.config.mount_reach import is_bound
from mirror.plugin.config.plugin_config import PluginConfig

#: An engine keeps the compressed layer and its files.
_COPIES: Final = 2


def needed_paths(config: PluginConfig) -> tuple[str, ...]:
    """List the absolute paths of the host without which a plugin cannot be enabled: sources of mounts, and devices."""
    made = with_made_mounts(config).mounts
    sources = [mount.source for mount in made if mount.source and has_bind_option(mount)]
    paths = [*sources, *(device.path for device in config.devices if device.path)]
    return tuple(dict.fromkeys(path for path in paths if path.startswith("/")))


def file_checks(facts: HostFacts, wanted: WantedPlugin) -> Iterator[HostCheck]:
    """Yield the checks. If the file system is not seen, each of them is unknown."""
    if wanted.config is None:
        return
    config = with_made_mounts(wanted.config)
    if facts.files is None:
        needed = ", ".join(printable(path, 100) for path in needed_paths(config)[:10])
        about = f", and the plugin needs {needed}" if needed else ""
        yield unknown("files", Step.ENABLE, f"{facts.unseen}{about}", "run this command on the host itself")
        return
    files = facts.files
    yield from or_ok(_data_root(facts, files, wanted), "data-root", f"{printable(facts.info.data_root, 60)} is usable")
    if config.mounts:
        yield from or_ok(_mounts(config, files.paths), "mounts", "all sources of mounts exist")
    yield from _file_systems(config, files)
    if config.devices:
        yield from or_ok(_devices(config, files.paths), "devices", "all devices exist")
    yield from _modules(config, files)


def _data_root(facts: HostFacts, files: HostFiles, wanted: WantedPlugin) -> Iterator[HostCheck]:
    place = printable(facts.info.data_root, 100)
    needed_bytes = _COPIES * wanted.size_bytes
    if "ro" in files.data_root_options:
        yield problem("data-root", Step.INSTALL, f"{place} is mounted read-only", "mount it with rw")
    if "noexec" in files.data_root_options:
        yield problem(
            "data-root",
            Step.ENABLE,
            f"{place} is mounted with noexec, so no plugin can be started from it",
            "mount it with exec, or move data-root (daemon.json) to another volume",
        )
    if files.free_bytes is not None and files.free_bytes < needed_bytes:
        yield problem(
            "data-root",
            Step.INSTALL,
            f"{place} has {files.free_bytes >> 20} MiB free, and the plugin needs more than {needed_bytes >> 20} MiB",
            "docker system prune, or free space otherwise",
        )


def _mounts(config: PluginConfig, paths: Mapping[str, PathKind]) -> Iterator[HostCheck]:
    for mount in config.mounts:
        source = mount.source or ""
        kind = paths.get(source)
        if kind is PathKind.MISSING:
            fix = _made_by(replace(config, mounts=(mount,), devices=()))
            yield problem("mounts", Step.ENABLE, f"{printable(source)} is missing on the host", fix)
        elif kind is PathKind.HIDDEN:
            yield unknown("mounts", Step.ENABLE, f"this user must not look at {printable(source)}", "run as root")


def _made_by(config: PluginConfig) -> str:
    """Return the command or advice that makes the only path of a config."""
    needed = host_preparation(config)
    if needed.commands:
        return needed.commands[0]
    if needed.files:
        return "create the file, or start the service that makes it"
    return "load the module or start the service that makes it, or set another path"


def _file_systems(config: PluginConfig, files: HostFiles) -> Iterator[HostCheck]:
    """Yield checks of mounts of other types than bind."""
    others = [mount.type for mount in config.mounts if not is_bound(mount)]
    for name in dict.fromkeys(others):
        if name not in files.file_systems:
            shown = printable(name, 40)
            # The kernel may load the module of a file system at its first mount.
            yield warning(
                "file-system",
                Step.ENABLE,
                f"the kernel has not loaded the file system {shown}, which a mount of the plugin needs",
                f"modprobe {shlex.quote(shown)}",
            )


def _devices(config: PluginConfig, paths: Mapping[str, PathKind]) -> Iterator[HostCheck]:
    for device in config.devices:
        path = device.path or ""
        kind = paths.get(path)
        if kind is PathKind.MISSING:
            fix = _made_by(replace(config, mounts=(), devices=(device,)))
            yield problem("devices", Step.ENABLE, f"{printable(path)} is missing on the host", fix)
        elif kind is PathKind.OTHER:
            # Engines take a folder, and add every device in it.
            yield problem("devices", Step.ENABLE, f"{printable(path)} is not a device", "set the path of a device")
        elif kind is PathKind.HIDDEN:
            yield unknown("devices", Step.ENABLE, f"this user must not look at {printable(path)}", "run as root")


def _modules(config: PluginConfig, files: HostFiles) -> Iterator[HostCheck]:
    """Yield a check of the kernel modules, for a plugin that loads modules itself."""
    wants = "CAP_SYS_MODULE" in config.capabilities or any(
        posixpath.normpath(mount.source or "").startswith(("/lib/modules", "/usr/lib/modules"))
        for mount in config.mounts
    )
    if not wants:
        return
    folder = f"/lib/modules/{printable(files.kernel, 80)}"
    if files.has_modules:
        yield ok("modules", f"{folder} exists")
    else:
        yield warning(
            "modules",
            Step.ENABLE,
            f"the plugin loads kernel modules, and {folder} is missing",
            "install the modules of the running kernel, or reboot into the installed kernel",
        )
