"""Patterns for privileges of a plugin: ``allow-all-devices``, ``mount=/run/docker.sock``, ``capabilities=CAP_*``.

Mounts and devices are judged by the access that they give (:mod:`mirror.plugin.config.mount_reach`), other privileges
by the engine's question (:mod:`mirror.plugin.config.privileges`).
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
# These names are recorded with verdicts and compared with later versions. A changed name would make
# a known privilege look new.
#: Separator of a privilege's name and its way of access, for access that engines do not ask for by itself.
_BY: Final = ", "
#: Name under which releases before 0.2 noted every path in the options of a mount.
_MOUNT_OPTION: Final = "mount option"
_LABEL: Final = f"{MOUNT}{_BY}only a label"
#: A relative path in a bind mount. For another type of mount the same text may be only a label.
_RELATIVE: Final = f"{MOUNT}{_BY}bound"
_READ_ONLY: Final = f"{_BY}read-only"
_OVERLAY_FOLDER: Final = re.compile(r"mount, .* of an overlay mount")
_PATHS: Final = frozenset({MOUNT, DEVICE})
_WILDCARD: Final = re.compile(r"[*?\[]")

RequestedPrivilege = tuple[str, str]


def requested_privileges(config: PluginConfig, *, reading_apart: bool = False) -> tuple[RequestedPrivilege, ...]:
    """List the privileges of a plugin in the engine's order, and then any further access through mounts.

    Each entry has one value. Engines name the source of a mount regardless of its type. If the source is only a label,
    or a relative path, the name here says so. A bind mount of the same text in a later version then counts as a new
    privilege.

    Args:
        config: configuration of the plugin.
        reading_apart: True to give read-only access another name than write access.
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
        # Access that follows from the source of a bind mount is already covered by the source.
        if reach.by and not (is_bound(mount) and reach.leads_to is not None)
    )
    return tuple(dict.fromkeys([*others, *reached]))


def added_privileges(
    now: Collection[RequestedPrivilege], before: Collection[RequestedPrivilege]
) -> tuple[RequestedPrivilege, ...]:
    """List the privileges that are new, compared with those noted by this or an earlier release.

    Earlier releases did not distinguish labels, or the use of a path in the options of a mount. They judged each as a
    mount of that path, so these are not new now. Read access is not new after write access.
    """
    known = set(before)
    return tuple(one for one in now if known.isdisjoint(_covering(one)))


def describe_privilege(one: RequestedPrivilege) -> str:
    """Return a privilege as one line, such as ``mount: /run`` or ``mount: / (lowerdir of an overlay mount)``."""
    name, _, by = one[0].partition(_BY)
    return f"{name}: {printable(one[1], 200)}{f' ({printable(by, 200)})' if by else ''}"


@dataclass(frozen=True, slots=True)
class PrivilegePattern:
    """A privilege by the engine's name, with an optional glob for its value.

    A path matches the glob itself, and also as a folder above any path of the glob: ``/home/*/.ssh`` matches ``/``,
    ``/home`` and ``/home/alice``, and ``*.sock`` matches ``/``. A path that cannot be resolved matches every glob.

    Attributes:
        name: one of :data:`NAMES`.
        value: glob for the value; None matches any value.
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
        """Parse ``NAME`` or ``NAME=GLOB``.

        Raises:
            ConfigurationFault: engines have no privilege of this name, or the glob is empty.
        """
        name, mark, value = (part.strip() for part in text.partition("="))
        if name not in NAMES or (mark and not value):
            raise ConfigurationFault(
                f"{text!r} is not a privilege; fix: write NAME or NAME=GLOB, with one of the names that engines print: "
                f"{', '.join(NAMES)}"
            )
        return cls(name, value or None)

    def matching(self, config: PluginConfig) -> Iterator[str]:
        """Yield a description of each privilege or access of the plugin that matches."""
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
        """Return True if the pattern matches an access, as written in the config or as resolved."""
        if reach.kind != self.name:
            return False
        if self._means_all or reach.leads_to is None:
            return True
        paths = {reach.leads_to, reach.named, tidy(reach.named)}
        return any(glob.match(path) for glob in self._globs for path in paths) or any(
            _is_above(path, steps) for steps in self._steps for path in paths
        )

    def _covers_label(self, label: str) -> bool:
        """Return True if the pattern matches a label. One like a path is matched only by patterns for every mount."""
        return self._means_all or (not label.startswith("/") and any(glob.match(label) for glob in self._globs))

    def _covers_value(self, value: str) -> bool:
        """Return True if the pattern matches a value. Capabilities match in any case."""
        value = value.upper() if self.name == "capabilities" else value
        return self._means_all or any(glob.match(value) for glob in self._globs)

    @property
    def _means_all(self) -> bool:
        """True if the pattern has no value, or only ``*``."""
        return not (self.value or "").strip("*")


def _without_links(glob: str) -> str:
    """Return a glob for resolved paths: the folders before the first wildcard are resolved."""
    if not glob.startswith("/"):
        return glob
    wildcard = _WILDCARD.search(glob)
    end = len(glob) if wildcard is None else glob.rfind("/", 0, wildcard.start())
    found = resolve(glob[:end] or "/").leads_to
    return tidy(glob) if found is None else f"{found.rstrip('/')}{glob[end:]}" or "/"


def _may_be_path(glob: str) -> bool:
    """Return True if a glob may match an absolute path, and not only a label such as ``tmpfs``."""
    return glob.startswith(("/", "*", "?", "["))


def _steps(glob: str) -> tuple[re.Pattern[str], ...]:
    """Return one compiled pattern for each path component of a glob, from the root on."""
    names = glob.split("/")[1:] if glob.startswith("/") else [glob]
    return tuple(re.compile(translate(name)) for name in names)


def _is_above(path: str, steps: Sequence[re.Pattern[str]]) -> bool:
    """Return True if a path matches the leading components of a glob, or all of them."""
    if not path.startswith("/"):
        return False
    names = [name for name in path.split("/") if name]
    return len(names) <= len(steps) and all(step.match(name) for name, step in zip(names, steps, strict=False))


def _source(mount: Mount, read_only: str) -> RequestedPrivilege:
    """Return the source of a mount as a privilege."""
    source = mount.source or ""
    if (label := _label(mount)) is not None:
        return label
    name = MOUNT if source.startswith("/") or not source else _RELATIVE
    return f"{name}{read_only if is_read_only(mount) else ''}", source


def _label(mount: Mount) -> RequestedPrivilege | None:
    """Return the source of a mount as a privilege if its type does not take the source as a path; otherwise None."""
    if mount.source is None or is_bound(mount):
        return None
    return _LABEL if mount.source.startswith("/") else MOUNT, mount.source


def _covering(one: RequestedPrivilege) -> Iterator[RequestedPrivilege]:
    """Yield each spelling of a privilege in earlier versions, or in notes of earlier releases, that covers this one."""
    name, value = one
    for spelling in dict.fromkeys((name, name.removesuffix(_READ_ONLY))):
        yield spelling, value
        if _OVERLAY_FOLDER.fullmatch(spelling):
            yield _MOUNT_OPTION, value
        if spelling == _LABEL:
            yield MOUNT, value
