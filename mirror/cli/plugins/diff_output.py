"""Output of ``diff``: text for people, and plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from mirror.cli.printing import RESULTS, heading, size
from mirror.oci.printable_text import printable
from mirror.plugin.lint.plugin_difference import FieldChange, FileChange, PluginDifference

#: Most lines about files for people. ``--json`` has no limit.
_FILES_SHOWN: Final = 200


def difference_as_json(found: PluginDifference) -> dict[str, Any]:
    """Return a difference as plain values."""

    def changes(these: Iterable[FieldChange]) -> list[dict[str, Any]]:
        return [{"what": one.what, "before": one.before, "after": one.after} for one in these]

    return {
        "grew": found.grew,
        "privileges": {
            "added": [{"name": name, "value": value} for name, value in found.privileges.added],
            "removed": [{"name": name, "value": value} for name, value in found.privileges.removed],
        },
        "writable": list(found.writable),
        "settings": changes(found.settings),
        "config": changes(found.config),
        "files": None
        if found.files is None
        else [
            {"path": one.path, "before_bytes": one.before_bytes, "after_bytes": one.after_bytes, "how": one.how}
            for one in found.files
        ],
    }


def print_difference(found: PluginDifference) -> None:
    """Print a difference for people."""
    if found.is_empty and found.files is not None:
        RESULTS.out("  no difference", highlight=False)
        return
    if found.privileges.added or found.privileges.removed or found.writable:
        heading("Privileges")
        for line in found.privileges.lines():
            RESULTS.out(f"  {printable(line)}", style="bold red" if line.startswith("+") else None, highlight=False)
        for source in found.writable:
            RESULTS.out(f"  + mount {printable(source)} is no longer read-only", style="bold red", highlight=False)
    for title, changes in (("Settings", found.settings), ("Configuration", found.config)):
        if changes:
            heading(title)
            for change in changes:
                RESULTS.out(f"  {printable(_change(change))}", highlight=False)
    if found.files is None:
        heading("Files")
        RESULTS.out("  not compared: at least one root filesystem cannot be read completely", highlight=False)
    elif found.files:
        heading("Files")
        for file in found.files[:_FILES_SHOWN]:
            RESULTS.out(f"  {printable(_file(file))}", highlight=False)
        if len(found.files) > _FILES_SHOWN:
            RESULTS.out(f"  … {len(found.files)} in total; --json lists all of them", highlight=False)


def _change(change: FieldChange) -> str:
    if change.before is None:
        return f"+ {change.what}: {change.after}"
    if change.after is None:
        return f"- {change.what}: {change.before}"
    return f"~ {change.what}: {change.before} -> {change.after}"


def _file(change: FileChange) -> str:
    if change.before_bytes is None or change.after_bytes is None:
        held = change.before_bytes if change.after_bytes is None else change.after_bytes
        return f"{'-' if change.after_bytes is None else '+'} /{change.path} ({size(held or 0)})"
    sizes = f"{size(change.before_bytes)} -> {size(change.after_bytes)}" if "content" in change.how else ""
    return f"~ /{change.path}: {change.how}{f' ({sizes})' if sizes else ''}"
