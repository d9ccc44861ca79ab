"""Differences between two plugins: privileges, settings, interface and the rest of the config, and files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mirror.plugin.config.mount_reach import MOUNT, Reach, config_reaches
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.settable import list_settings
from mirror.plugin.policy.privilege_difference import PrivilegeDifference
from mirror.plugin.rootfs.entry import EntryKind, Node
from mirror.plugin.rootfs.tree import Tree


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A setting or member of the config that is not the same in both plugins.

    Attributes:
        what: its name: of a setting, a member of the config, or a path.
        before, after: how it is in each; None where it is not in it.
    """

    what: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file, folder or link that is not the same in both.

    Attributes:
        path: its path, from the root.
        before_bytes, after_bytes: its size in each; None where it is not in it.
        how: what has changed: ``added``, ``removed``, ``content``, ``mode 0755 to 4755``, ``file to link``.
    """

    path: str
    before_bytes: int | None
    after_bytes: int | None
    how: str


@dataclass(frozen=True, slots=True)
class PluginDifference:
    """Two plugins compared.

    Attributes:
        privileges: what the later asks for, and the earlier did not, and the other way round.
        writable: paths of mounts that were read-only, and are not any more; no engine asks about that.
        settings: settings that came, went, or have another default.
        config: what else of the config is different.
        files: what of the root filesystem is different; None where one of them was not read.
    """

    privileges: PrivilegeDifference
    writable: tuple[str, ...]
    settings: tuple[FieldChange, ...]
    config: tuple[FieldChange, ...]
    files: tuple[FileChange, ...] | None

    @property
    def grew(self) -> bool:
        """True where the later plugin may do more to a host."""
        return bool(self.privileges.added or self.writable)

    @property
    def is_empty(self) -> bool:
        """True where nothing is different."""
        privileges = self.privileges
        return not any((privileges.added, privileges.removed, self.writable, self.settings, self.config, self.files))


def compare_plugins(
    earlier: PluginConfig, later: PluginConfig, before: Tree | None = None, after: Tree | None = None
) -> PluginDifference:
    """Compare two plugins. Trees must have been read with digests."""
    read_only = _read_only(earlier)
    return PluginDifference(
        privileges=PrivilegeDifference.between(earlier, later),
        writable=tuple(dict.fromkeys(path for path in _writable(later) if path in read_only)),
        settings=tuple(_changes(_settings(earlier), _settings(later))),
        config=tuple(_changes(_members(earlier), _members(later))),
        files=None if before is None or after is None else tuple(_files(before, after)),
    )


def _changes(before: dict[str, str], after: dict[str, str]) -> Iterator[FieldChange]:
    for what in dict.fromkeys((*before, *after)):
        if before.get(what) != after.get(what):
            yield FieldChange(what, before.get(what), after.get(what))


def _settings(config: PluginConfig) -> dict[str, str]:
    return {setting.key: "(none)" if setting.default is None else setting.default for setting in list_settings(config)}


def _members(config: PluginConfig) -> dict[str, str]:
    """The config as texts by name, without what privileges and settings tell already."""
    keys = {setting.key.partition(".")[0] for setting in list_settings(config)}
    members = {
        "Interface.Types": " ".join(config.interface.types),
        "Interface.Socket": config.interface.socket,
        "Interface.ProtocolScheme": config.interface.protocol_scheme,
        "Entrypoint": " ".join(config.entrypoint),
        "WorkDir": config.work_dir,
        "PropagatedMount": config.propagated_mount,
        "Args": "" if config.args.name in keys else " ".join(config.args.value),
        "Description": config.description,
        "Documentation": config.documentation,
    }
    for env in config.env:
        if env.name not in keys:
            members[f"Env {env.name}"] = env.value or ""
    for mount in config.mounts:
        members[f"Mount at {mount.destination}"] = " ".join((mount.source or "(none)", mount.type, *mount.options))
    return {name: text for name, text in members.items() if text}


def _read_only(config: PluginConfig) -> frozenset[str]:
    """Names of what is mounted, and never to be written to."""
    return frozenset(reach.named for reach in _mounted(config)) - frozenset(_writable(config))


def _writable(config: PluginConfig) -> Iterator[str]:
    return (reach.named for reach in _mounted(config) if reach.writable)


def _mounted(config: PluginConfig) -> Iterator[Reach]:
    return (reach for reach in config_reaches(config) if reach.kind == MOUNT and reach.named)


def _files(before: Tree, after: Tree) -> Iterator[FileChange]:
    earlier, later = dict(before.walk()), dict(after.walk())
    for path in sorted({*earlier, *later}):
        old, new = earlier.get(path), later.get(path)
        how = ", ".join(_how(old, new))
        if how:
            yield FileChange(path, _size(old), _size(new), how)


def _size(node: Node | None) -> int | None:
    return None if node is None else node.size_bytes


def _how(old: Node | None, new: Node | None) -> Iterable[str]:
    if old is None or new is None:
        yield "removed" if new is None else "added"
        return
    if old.kind.word != new.kind.word:
        yield f"{old.kind.word} to {new.kind.word}"
        return
    if old.digest != new.digest or old.size_bytes != new.size_bytes:
        yield "content"
    if old.target != new.target:
        yield f"link to {new.target}"
    if old.mode != new.mode and old.kind is not EntryKind.SYMLINK:
        yield f"mode {old.mode:04o} to {new.mode:04o}"
