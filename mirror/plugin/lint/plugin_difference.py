"""Differences between two plugins: privileges, settings, other parts of the config, and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mirror.plugin.config.mount_reach import MOUNT, Reach, config_reaches
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.secret_values import without_secrets
from mirror.plugin.config.settable import list_settings
from mirror.plugin.policy.privilege_difference import PrivilegeDifference
from mirror.plugin.rootfs.entry import EntryKind, Node
from mirror.plugin.rootfs.tree import Tree


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A setting or member of the config that differs.

    Attributes:
        what: name of the setting or member.
        before, after: value in each plugin without its secrets; None if the plugin lacks the field.
    """

    what: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file, folder or link that differs.

    Attributes:
        path: path from the root.
        before_bytes, after_bytes: size in each plugin; None if the plugin lacks the file.
        how: kind of change: ``added``, ``removed``, ``content``, ``mode 0755 to 4755``, ``file to link``.
    """

    path: str
    before_bytes: int | None
    after_bytes: int | None
    how: str


@dataclass(frozen=True, slots=True)
class PluginDifference:
    """Differences between an earlier and a later plugin.

    Attributes:
        privileges: privileges that only one of the plugins asks for.
        writable: paths of mounts that were read-only and have become writable. No engine asks about these.
        settings: settings that were added or removed, or have another default.
        config: other differences of the config.
        files: differences of the root filesystem; None if one of the two was not read.
    """

    privileges: PrivilegeDifference
    writable: tuple[str, ...]
    settings: tuple[FieldChange, ...]
    config: tuple[FieldChange, ...]
    files: tuple[FileChange, ...] | None

    @property
    def grew(self) -> bool:
        """True if the later plugin has more access to a host."""
        return bool(self.privileges.added or self.writable)

    @property
    def is_empty(self) -> bool:
        """True if there is no difference."""
        privileges = self.privileges
        return not any((privileges.added, privileges.removed, self.writable, self.settings, self.config, self.files))


def compare_plugins(
    earlier: PluginConfig, later: PluginConfig, before: Tree | None = None, after: Tree | None = None
) -> PluginDifference:
    """Return the differences between two plugins.

    Args:
        earlier: configuration of the earlier plugin.
        later: configuration of the later plugin.
        before: root filesystem of the earlier plugin, with digests of its files; None if not read.
        after: root filesystem of the later plugin, with digests of its files; None if not read.
    """
    read_only = _read_only(earlier)
    shown = without_secrets(earlier), without_secrets(later)
    return PluginDifference(
        privileges=PrivilegeDifference.between(earlier, later),
        writable=tuple(dict.fromkeys(path for path in _writable(later) if path in read_only)),
        settings=tuple(_changes(_settings, (earlier, later), shown)),
        config=tuple(_changes(_members, (earlier, later), shown)),
        files=None if before is None or after is None else tuple(_files(before, after)),
    )


def _changes(
    texts: Callable[[PluginConfig], dict[str, str]],
    compared: tuple[PluginConfig, PluginConfig],
    shown: tuple[PluginConfig, PluginConfig],
) -> Iterator[FieldChange]:
    """Yield the names whose texts differ. The texts of a change are those of the configs without secrets."""
    before, after = map(texts, compared)
    shown_before, shown_after = map(texts, shown)
    for what in dict.fromkeys((*before, *after)):
        if before.get(what) != after.get(what):
            yield FieldChange(what, shown_before.get(what), shown_after.get(what))


def _settings(config: PluginConfig) -> dict[str, str]:
    """Return the defaults of all settings, by key."""
    return {setting.key: "(none)" if setting.default is None else setting.default for setting in list_settings(config)}


def _members(config: PluginConfig) -> dict[str, str]:
    """Return the members of the config as texts by name, without those that privileges and settings cover."""
    settable = {(setting.kind, setting.name) for setting in list_settings(config)}
    members = {
        "Interface.Types": " ".join(config.interface.types),
        "Interface.Socket": config.interface.socket,
        "Interface.ProtocolScheme": config.interface.protocol_scheme,
        "Entrypoint": " ".join(config.entrypoint),
        "WorkDir": config.work_dir,
        "PropagatedMount": config.propagated_mount,
        "Args": "" if ("args", config.args.name) in settable else " ".join(config.args.value),
        "Description": config.description,
        "Documentation": config.documentation,
    }
    for env in config.env:
        if ("env", env.name) not in settable:
            members[f"Env {env.name}"] = env.value or ""
    for mount in config.mounts:
        members[f"Mount at {mount.destination}"] = " ".join((mount.source or "(none)", mount.type, *mount.options))
    return {name: text for name, text in members.items() if text}


def _read_only(config: PluginConfig) -> frozenset[str]:
    """Return the names of mounts that are read-only in every place."""
    return frozenset(reach.named for reach in _mounted(config)) - frozenset(_writable(config))


def _writable(config: PluginConfig) -> Iterator[str]:
    """Yield the names of writable mounts."""
    return (reach.named for reach in _mounted(config) if reach.writable)


def _mounted(config: PluginConfig) -> Iterator[Reach]:
    """Yield the access through mounts that have a name."""
    return (reach for reach in config_reaches(config) if reach.kind == MOUNT and reach.named)


def _files(before: Tree, after: Tree) -> Iterator[FileChange]:
    """Yield the differences of two trees, sorted by path."""
    earlier, later = dict(before.walk()), dict(after.walk())
    for path in sorted({*earlier, *later}):
        old, new = earlier.get(path), later.get(path)
        how = ", ".join(_how(old, new))
        if how:
            yield FileChange(path, _size(old), _size(new), how)


def _size(node: Node | None) -> int | None:
    """Return the size of a node, or None for a missing node."""
    return None if node is None else node.size_bytes


def _how(old: Node | None, new: Node | None) -> Iterable[str]:
    """Yield the kinds of change of a path."""
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
    # The mode of a symbolic link has no effect on Linux (symlink(7)).
    if old.mode != new.mode and old.kind is not EntryKind.SYMLINK:
        yield f"mode {old.mode:04o} to {new.mode:04o}"
