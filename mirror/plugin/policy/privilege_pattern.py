"""Patterns of what a plugin asks of a host: ``allow-all-devices``, ``mount=/run/docker.sock``, ``capabilities=CAP_*``.

Mounts and devices are judged by what they reach (:mod:`mirror.plugin.config.mount_reach`), everything else by what the
engine asks for (:mod:`mirror.plugin.config.privileges`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Final

from mirror.oci.errors import ConfigurationFault
from mirror.oci.printable_text import printable
from mirror.plugin.config.host_path import resolve, tidy
from mirror.plugin.config.mount_reach import DEVICE, MOUNT, Reach, config_reaches, is_bound, is_read_only, mount_reaches
from mirror.plugin.config.plugin_config import Mount, PluginConfig
from mirror.plugin.config.privileges import compute_privileges

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
#: What stands between the name of a privilege and how it comes about, where engines do not ask for it as it is.
_BY: Final = ", "
#: The name under which releases before 0.2 noted every path that they found in the options of a mount.
_MOUNT_OPTION: Final = "mount option"
_LABEL: Final = f"{MOUNT}{_BY}only a label"
#: A relative path that is bound, and not only the label that it may be to another type of mount.
_RELATIVE: Final = f"{MOUNT}{_BY}bound"
_READ_ONLY: Final = f"{_BY}read-only"
_OVERLAY_FOLDER: Final = re.compile(r"mount, .* of an overlay mount")
_PATHS: Final = frozenset({MOUNT, DEVICE})
_WILDCARD: Final = re.compile(r"[*?\[]")

RequestedPrivilege = tuple[str, str]


def requested_privileges(config: PluginConfig, *, reading_apart: bool = False) -> tuple[RequestedPrivilege, ...]:
    """List what a plugin asks for, one value each, in the engine's order; then what it reaches beyond that by mounts.

    Engines name the source of a mount, whatever it is to the type of the mount: where that is only a label, or a
    relative path, the name here says so, so that a bind mount of the same text in a later version counts as more.

    Args:
        config: the plugin's.
        reading_apart: whether what the plugin may only read has another name than what it may write to.
    """
    read_only = _READ_ONLY if reading_apart else ""
    others = [(privilege.name, value) for privilege in compute_privileges(config) for value in privilege.values]
    mounts = [_source(mount, read_only) for mount in config.mounts if mount.source is not None]
    begin = next((number for number, (name, _) in enumerate(others) if name == MOUNT), 0)
    others[begin : begin + len(mounts)] = mounts
    reached = (
        (f"{reach.kind}{_BY}{reach.by}{'' if reach.writable else read_only}", reach.named)
        for mount in config.mounts
        for reach in mount_reaches(mount, sees_processes=config.pid_host)
        # What follows from the source of a bind mount is no more than the source says.
        if reach.by and not (is_bound(mount) and reach.leads_to is not None)
    )
    return tuple(dict.fromkeys([*others, *reached]))


def added_privileges(
    now: Collection[RequestedPrivilege], before: Collection[RequestedPrivilege]
) -> tuple[RequestedPrivilege, ...]:
    """List what is asked for now and was not before, both as noted by this release or an earlier one.

    Earlier ones knew neither labels nor how a path in the options of a mount is used; they judged it as a mount of
    that path all the same, so it is nothing new now. Nor is it to read what one could write to.
    """
    known = set(before)
    return tuple(one for one in now if known.isdisjoint(_covering(one)))


def describe_privilege(one: RequestedPrivilege) -> str:
    """Make the line ``mount: /run`` of one thing that is asked for; ``mount: / (lowerdir of an overlay mount)``."""
    name, _, by = one[0].partition(_BY)
    return f"{name}: {printable(one[1], 200)}{f' ({printable(by, 200)})' if by else ''}"


@dataclass(frozen=True, slots=True)
class PrivilegePattern:
    """A privilege by the engine's name, and a glob for its value where not every value is meant.

    A path matches where the glob does, and also where it is a folder above what the glob stands for: ``/home/*/.ssh``
    is met by ``/``, ``/home`` and ``/home/alice``, and ``*.sock`` by ``/``. One that cannot be resolved matches every
    glob.

    Attributes:
        name: one of :data:`NAMES`.
        value: the glob; None: any.
    """

    name: str
    value: str | None = None
    _globs: tuple[re.Pattern[str], ...] = field(init=False, repr=False, compare=False)
    _steps: tuple[tuple[re.Pattern[str], ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        value = self.value
        if value is not None and self.name == "capabilities":
            value = value.upper() if value.upper().startswith(("CAP_", "*")) else f"CAP_{value.upper()}"
        spellings = [] if value is None else [value]
        if value is not None and self.name in _PATHS:
            value = _without_links(value)
            spellings = [*dict.fromkeys((value, tidy(self.value or "")))]
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "_globs", tuple(re.compile(translate(each)) for each in spellings))
        object.__setattr__(self, "_steps", tuple(map(_steps, filter(_may_be_path, spellings))))

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
        """Describe what the plugin asks for or reaches that matches."""
        if self.name in _PATHS:
            yield from (reach.description for reach in config_reaches(config) if self._covers_reach(reach))
        if self.name == MOUNT:
            labels = (label for mount in config.mounts if (label := _label(mount)) and self._covers_label(label[1]))
            yield from map(describe_privilege, labels)
        elif self.name != DEVICE:
            for privilege in compute_privileges(config):
                values = privilege.values if privilege.name == self.name else ()
                yield from (describe_privilege((self.name, value)) for value in values if self._covers_value(value))

    def _covers_reach(self, reach: Reach) -> bool:
        if reach.kind != self.name:
            return False
        if self._means_all or reach.leads_to is None:
            return True
        paths = {reach.leads_to, reach.named, tidy(reach.named)}
        return any(glob.match(path) for glob in self._globs for path in paths) or any(
            _is_above(path, steps) for steps in self._steps for path in paths
        )

    def _covers_label(self, label: str) -> bool:
        """A label that looks like a path is none: only who means every mount means it."""
        return self._means_all or (not label.startswith("/") and any(glob.match(label) for glob in self._globs))

    def _covers_value(self, value: str) -> bool:
        value = value.upper() if self.name == "capabilities" else value
        return self._means_all or any(glob.match(value) for glob in self._globs)

    @property
    def _means_all(self) -> bool:
        return not (self.value or "").strip("*")


def _without_links(glob: str) -> str:
    """A glob for paths as the host has them: the folders before the first wildcard are followed."""
    if not glob.startswith("/"):
        return glob
    wildcard = _WILDCARD.search(glob)
    end = len(glob) if wildcard is None else glob.rfind("/", 0, wildcard.start())
    found = resolve(glob[:end] or "/").leads_to
    return tidy(glob) if found is None else f"{found.rstrip('/')}{glob[end:]}" or "/"


def _may_be_path(glob: str) -> bool:
    """True where a glob may stand for an absolute path, and not only for a label such as ``tmpfs``."""
    return glob.startswith(("/", "*", "?", "["))


def _steps(glob: str) -> tuple[re.Pattern[str], ...]:
    """Compile a pattern for each name of the paths that a glob stands for, from the root on."""
    names = glob.split("/")[1:] if glob.startswith("/") else [glob]
    return tuple(re.compile(translate(name)) for name in names)


def _is_above(path: str, steps: Sequence[re.Pattern[str]]) -> bool:
    """True where a path matches the first patterns, or all: it is above what the glob stands for, or that itself."""
    if not path.startswith("/"):
        return False
    names = [name for name in path.split("/") if name]
    return len(names) <= len(steps) and all(step.match(name) for name, step in zip(names, steps, strict=False))


def _source(mount: Mount, read_only: str) -> RequestedPrivilege:
    """Make the note of a mount's source."""
    source = mount.source or ""
    if (label := _label(mount)) is not None:
        return label
    name = MOUNT if source.startswith("/") or not source else _RELATIVE
    return f"{name}{read_only if is_read_only(mount) else ''}", source


def _label(mount: Mount) -> RequestedPrivilege | None:
    """The source of a mount that is no path to its type, as it is noted; None where it is one."""
    if mount.source is None or is_bound(mount):
        return None
    return _LABEL if mount.source.startswith("/") else MOUNT, mount.source


def _covering(one: RequestedPrivilege) -> Iterator[RequestedPrivilege]:
    """Yield each spelling under which an earlier version, or an earlier release's note, asked for as much as this."""
    name, value = one
    for spelling in dict.fromkeys((name, name.removesuffix(_READ_ONLY))):
        yield spelling, value
        if _OVERLAY_FOLDER.fullmatch(spelling):
            yield _MOUNT_OPTION, value
        if spelling == _LABEL:
            yield MOUNT, value
