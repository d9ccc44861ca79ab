"""Paths of a host, followed as far as that can be told from here: links that hosts have, and those of ``/proc``."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mirror.oci.printable_text import printable_ascii

#: Longest path that Linux follows, in bytes, with the zero that ends it (PATH_MAX).
MOST_PATH_BYTES: Final = 4096

#: Paths whose end is remembered: every rule asks for those of a plugin again.
_MOST_REMEMBERED: Final = 1024

#: Links that common distributions have; where a host has a folder instead, a rule about either name is met.
_LINKS: Final = {
    "/bin": "/usr/bin",
    "/sbin": "/usr/sbin",
    "/lib": "/usr/lib",
    "/lib32": "/usr/lib32",
    "/lib64": "/usr/lib64",
    "/libx32": "/usr/libx32",
    "/var/run": "/run",
    "/var/lock": "/run/lock",
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
}
#: Folders that are no links on any host, so that ``..`` in them leads to the folder above.
_FOLDERS: Final = frozenset({"/dev", "/etc", "/proc", "/run", "/sys", "/usr", "/var", "/var/lib"})
_PROCESS: Final = r"/proc/(?P<process>[0-9]+|self|thread-self)(?:/task/[0-9]+)?"
_ROOT: Final = re.compile(rf"{_PROCESS}/root")
#: The one that runs when a mount is made has the host's root folder, and so has the first of all.
_AT_THE_ROOT: Final = frozenset({"1", "self", "thread-self"})
_OPENED: Final = re.compile(rf"{_PROCESS}/(?:root|cwd|exe|fd|map_files)(?:/|$)")
#: Under these, a plugin finds the root folders or mount namespaces of processes.
_HOLDS_ROOTS: Final = re.compile(rf"/proc(?:/self|/thread-self|/[0-9]+)?(?:/task(?:/[0-9]+)?)?|{_PROCESS}/ns(?:/.*)?")
_NAMED_BY_THE_HOST: Final = re.compile(r"/dev/(?:root|(?:block|char|disk|mapper)/(?!control$).+)")

_KERNEL_FOLDERS: Final = "bus cpu dma_heap dri hugepages infiniband input mapper mqueue net pts shm snd usb vfio"
#: Folders of ``/dev`` in which udev makes no links to other devices.
_DEVICE_FOLDERS: Final = frozenset(_KERNEL_FOLDERS.split())
#: Names that udev gives to the device that a host uses for something.
_DEVICE_LINKS: Final = frozenset({"cdrom", "cdrw", "dvd", "dvdrw", "rtc", "modem", "mouse", "gpmdata", "core", "log"})


@dataclass(frozen=True, slots=True)
class HostPath:
    """The end of a path.

    Attributes:
        leads_to: a path from the root without links or detours; None: it may lead anywhere.
        why: why it may lead anywhere, in words that follow "cannot be resolved: ".
    """

    leads_to: str | None
    why: str = ""


@lru_cache(_MOST_REMEMBERED)
def resolve(path: str) -> HostPath:
    """Follow a path as the kernel does, a name at a time. Links that only some hosts have are not known."""
    why = _why_not_begun(path)
    if why is not None:
        return HostPath(None, why)
    names = path.split("/")[::-1]
    path_so_far, by_link = "", False
    while names:
        name = names.pop()
        if name in {"", "."}:
            continue
        if name == "..":
            if path_so_far and (by_link or path_so_far not in _FOLDERS):
                return HostPath(
                    None,
                    f"{printable_ascii(path_so_far)} may be a link, so that nobody knows where '..' leads from there",
                )
            path_so_far = path_so_far.rpartition("/")[0]
            continue
        path_so_far = f"{path_so_far}/{name}"
        if path_so_far in _LINKS:
            names.extend(_LINKS[path_so_far].split("/")[::-1])
            path_so_far, by_link = "", True
        elif (root := _ROOT.fullmatch(path_so_far)) and root["process"] in _AT_THE_ROOT:
            path_so_far = ""
        elif _OPENED.match(path_so_far):
            return HostPath(None, f"{printable_ascii(path_so_far)} leads to what a process has open")
        elif _NAMED_BY_THE_HOST.fullmatch(path_so_far) or (name.startswith("by-") and path_so_far.startswith("/dev/")):
            return HostPath(None, f"which device is {printable_ascii(path_so_far)}, each host decides")
    return HostPath(path_so_far or "/")


def resolve_device(path: str) -> HostPath:
    """Find the device that a path stands for. Only in ``/dev`` do names tell: a node elsewhere may be any device."""
    found = resolve(path)
    if found.leads_to is None or found.leads_to in {"/", "/dev"}:
        return found
    if not found.leads_to.startswith("/dev/"):
        return HostPath(None, "it is not in /dev, and a node elsewhere may be any device")
    first, *below = found.leads_to.removeprefix("/dev/").split("/")
    if first in _DEVICE_LINKS or (below and first not in _DEVICE_FOLDERS):
        return HostPath(None, f"which device is {printable_ascii(found.leads_to)}, each host decides")
    return found


def _why_not_begun(path: str) -> str | None:
    if "\0" in path:
        return "a zero byte is in it"
    if not path.startswith("/"):
        return "it is relative, and begins in a folder of the plugin, which may hold links"
    return f"it is longer than {MOST_PATH_BYTES - 1} bytes" if len(path.encode()) >= MOST_PATH_BYTES else None


def holds_roots(path: str) -> bool:
    """Tell whether the root folder of the host can be had from a path below ``/proc``, by way of its processes."""
    return _HOLDS_ROOTS.fullmatch(path) is not None


def tidy(path: str) -> str:
    """An absolute path without detours, as it is written: links are not followed. Other text stays as it is."""
    return "/" + posixpath.normpath(path).lstrip("/") if path.startswith("/") else path


def is_within(path: str, folder: str) -> bool:
    """Tell whether a path is a folder or lies below it. Nothing lies below a relative one."""
    return folder.startswith("/") and (path == folder or path.startswith(folder.rstrip("/") + "/"))
