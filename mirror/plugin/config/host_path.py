"""Paths on a host, resolved without the host as far as possible: common links and those of ``/proc`` are known."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mirror.oci.printable_text import printable_ascii

#: Longest path that Linux follows, in bytes, including the final zero byte (PATH_MAX).
MOST_PATH_BYTES: Final = 4096

#: Most folders of one path that are looked up.
_MOST_FOLDERS: Final = 64

#: Most paths whose results are cached: each rule of the policy resolves the paths of a plugin again.
_MOST_REMEMBERED: Final = 1024

#: Links of common distributions. A host may have a folder instead, so rules match both the written and resolved name.
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
#: Folders that are links on no host, so that ``..`` in them leads to the folder above.
_FOLDERS: Final = frozenset({"/dev", "/etc", "/proc", "/run", "/sys", "/usr", "/var", "/var/lib"})
_PROCESS: Final = r"/proc/(?P<process>[0-9]+|self|thread-self)(?:/task/[0-9]+)?"
_ROOT: Final = re.compile(rf"{_PROCESS}/root")
#: Processes whose root folder is the host's: the one that makes a mount, and the first process of the host.
_AT_THE_ROOT: Final = frozenset({"1", "self", "thread-self"})
_OPENED: Final = re.compile(rf"{_PROCESS}/(?:root|cwd|exe|fd|map_files)(?:/|$)")
#: Folders with the root folders or mount namespaces of processes.
_HOLDS_ROOTS: Final = re.compile(rf"/proc(?:/self|/thread-self|/[0-9]+)?(?:/task(?:/[0-9]+)?)?|{_PROCESS}/ns(?:/.*)?")
_NAMED_BY_THE_HOST: Final = re.compile(r"/dev/(?:root|(?:block|char|disk|mapper)/(?!control$).+)")

_KERNEL_FOLDERS: Final = "bus cpu dma_heap dri hugepages infiniband input mapper mqueue net pts shm snd usb vfio"
#: Folders of ``/dev`` in which udev makes no links to other devices.
_DEVICE_FOLDERS: Final = frozenset(_KERNEL_FOLDERS.split())
#: Names that udev gives to the device that a host uses for something.
_DEVICE_LINKS: Final = frozenset({"cdrom", "cdrw", "dvd", "dvdrw", "rtc", "modem", "mouse", "gpmdata", "core", "log"})


@dataclass(frozen=True, slots=True)
class HostPath:
    """Result of resolving a path.

    Attributes:
        leads_to: absolute path without links or detours; None if the path may lead anywhere.
        why: reason why the path may lead anywhere, as text after "cannot be resolved: ".
    """

    leads_to: str | None
    why: str = ""


@lru_cache(_MOST_REMEMBERED)
def resolve(path: str) -> HostPath:
    """Resolve a path name by name, as the kernel does. Links that only some hosts have are unknown."""
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
            # In a link, ".." leads to the parent of the target, which only the host knows.
            if path_so_far and (by_link or path_so_far not in _FOLDERS):
                return HostPath(
                    None,
                    f"{printable_ascii(path_so_far)} may be a link, so the target of '..' is unknown",
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
            return HostPath(None, f"{printable_ascii(path_so_far)} leads to a file or folder that a process has open")
        elif _NAMED_BY_THE_HOST.fullmatch(path_so_far) or (name.startswith("by-") and path_so_far.startswith("/dev/")):
            return HostPath(None, f"each host decides which device {printable_ascii(path_so_far)} is")
    return HostPath(path_so_far or "/")


def resolve_device(path: str) -> HostPath:
    """Resolve the path of a device. Only names in ``/dev`` identify a device; a node elsewhere may be any device."""
    found = resolve(path)
    if found.leads_to is None or found.leads_to in {"/", "/dev"}:
        return found
    if not found.leads_to.startswith("/dev/"):
        return HostPath(None, "it is not in /dev, and a node elsewhere may be any device")
    first, *below = found.leads_to.removeprefix("/dev/").split("/")
    if first in _DEVICE_LINKS or (below and first not in _DEVICE_FOLDERS):
        return HostPath(None, f"each host decides which device {printable_ascii(found.leads_to)} is")
    return found


def _why_not_begun(path: str) -> str | None:
    """Return the reason why a path cannot be resolved at all; None if it can be tried."""
    if "\0" in path:
        return "it contains a zero byte"
    if not path.startswith("/"):
        return "it is relative to a folder of the plugin, which may hold links"
    return f"it is longer than {MOST_PATH_BYTES - 1} bytes" if len(path.encode()) >= MOST_PATH_BYTES else None


def holds_roots(path: str) -> bool:
    """Return True if a path below ``/proc`` gives access to the root folder of the host through its processes."""
    return _HOLDS_ROOTS.fullmatch(path) is not None


def tidy(path: str) -> str:
    """Return an absolute path without detours; links are not followed. Other text is returned unchanged."""
    return "/" + posixpath.normpath(path).lstrip("/") if path.startswith("/") else path


def is_within(path: str, folder: str) -> bool:
    """Return True if a path is a folder or lies below the folder. Nothing lies below a relative folder."""
    return folder.startswith("/") and (path == folder or path.startswith(folder.rstrip("/") + "/"))


def path_and_parents(path: str) -> Iterator[str]:
    """Yield the root, and the first folders of an absolute path down to the path itself."""
    yield "/"
    if path != "/":
        names = path.split("/", _MOST_FOLDERS + 1)[1 : _MOST_FOLDERS + 1]
        for number in range(1, len(names) + 1):
            yield "/" + "/".join(names[:number])
