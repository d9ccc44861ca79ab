"""Patterns of what a plugin asks of a host: ``allow-all-devices``, ``mount=/run/docker.sock``, ``capabilities=CAP_*``.

They go by what the engine asks for (:mod:`mirror.plugin.privileges`), and beyond it where that tells too little: a
mount of ``/run`` gives away ``/run/docker.sock``, and an overlay's folders stand in its options, which engines do not
ask about.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Final

from mirror.oci.errors import ConfigurationFault
from mirror.plugin.config import PluginConfig
from mirror.plugin.privileges import compute

#: The engine's names, as ``docker plugin install`` prints them.
NAMES: Final = (
    "network",
    "host ipc namespace",
    "host pid namespace",
    "mount",
    "device",
    "allow-all-devices",
    "capabilities",
)
#: Most characters of a value that are shown.
_MOST_SHOWN: Final = 200
_MOUNT_OPTION: Final = "mount option"
_PATHS: Final = frozenset({"mount", "device", _MOUNT_OPTION})
# The root of the host, by way of a process of it.
_BY_PROCESS: Final = re.compile(r"/proc/(?:[^/]+/)+?(?:root|cwd)(?=/|$)")
_WILDCARD: Final = re.compile(r"[*?\[]")

Asked = tuple[str, str]


def asked(config: PluginConfig) -> tuple[Asked, ...]:
    """What a plugin asks for, each with one value, in the engine's order; then the paths in its mounts' options."""
    privileges = [(privilege.name, value) for privilege in compute(config) for value in privilege.values]
    options = [
        (_MOUNT_OPTION, path)
        for mount in config.mounts
        for option in mount.options
        for _, mark, paths in [option.partition("=")]
        if mark
        for path in paths.split(":")
        if "/" in path
    ]
    return tuple(dict.fromkeys([*privileges, *options]))


def shown(one: Asked) -> str:
    """``mount: /run``, of one thing that is asked for."""
    name, value = one
    return f"{name}: {printable(value)}"


def printable(text: str) -> str:
    """The beginning of a text from outside, as it may stand in a line on a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:_MOST_SHOWN])


@dataclass(frozen=True, slots=True)
class PrivilegePattern:
    """A privilege by the engine's name, and a glob for its value where not every value is meant.

    A path matches where the glob does, and also where it is a folder above what the glob stands for.

    Attributes:
        name: one of :data:`NAMES`.
        value: the glob; None: any.
    """

    name: str
    value: str | None = None
    _glob: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        value = self.value
        if value is not None and self.name == "capabilities":
            value = value.upper() if value.upper().startswith(("CAP_", "*")) else f"CAP_{value.upper()}"
        elif value is not None and self.name in _PATHS:
            value = _as_on_the_host(value)
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "_glob", None if value is None else re.compile(translate(value)))

    @classmethod
    def parse(cls, text: str) -> PrivilegePattern:
        """Read ``NAME`` or ``NAME=GLOB``.

        Raises:
            ConfigurationFault: engines know no such privilege.
        """
        name, mark, value = (part.strip() for part in text.partition("="))
        if name not in NAMES or (mark and not value):
            raise ConfigurationFault(
                f"{text!r} is not a privilege: write NAME or NAME=GLOB, with a NAME as engines print it "
                f"({', '.join(NAMES)})"
            )
        return cls(name, value or None)

    def matching(self, config: PluginConfig) -> Iterator[str]:
        """What the plugin asks for that matches, as :func:`shown`."""
        for name, value in asked(config):
            if (self.name == name or (self.name, name) == ("mount", _MOUNT_OPTION)) and self._covers(name, value):
                yield shown((name, value))

    def _covers(self, name: str, value: str) -> bool:
        if self.value is None or self._glob is None:
            return True
        if name not in _PATHS:
            return self._glob.match(value.upper() if name == "capabilities" else value) is not None
        path = _as_on_the_host(value)
        return self._glob.match(path) is not None or _is_within(self._literal, path)

    @property
    def _literal(self) -> str:
        """The path that the glob stands for, or the folder that all that it stands for is in."""
        text = self.value or ""
        wildcard = _WILDCARD.search(text)
        return text if wildcard is None else posixpath.dirname(text[: wildcard.start()])


def _as_on_the_host(path: str) -> str:
    """A path without detours. A relative one begins in a folder of the engine: ``..`` may lead from there anywhere."""
    if not path.startswith("/"):
        return "/" if ".." in path.split("/") else path
    path = "/" + posixpath.normpath(path).lstrip("/")
    while found := _BY_PROCESS.match(path):
        path = path[found.end() :] or "/"
    within = _is_within(path, "/var/run")
    return path.removeprefix("/var") if within else path


def _is_within(path: str, folder: str) -> bool:
    return folder.startswith("/") and (path == folder or path.startswith(folder.rstrip("/") + "/"))
