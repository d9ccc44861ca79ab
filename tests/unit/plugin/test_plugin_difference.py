"""Differences between two plugins."""

from __future__ import annotations

from typing import Any

import pytest

from mirror.plugin.lint.plugin_difference import FieldChange, FileChange, compare_plugins
from tests.support.rootfs import config, file, folder, link, rootfs


def mounts(*options: str, source: str = "/data") -> dict[str, Any]:
    return {"Mounts": [{"Source": source, "Destination": "/m", "Type": "bind", "Options": list(options)}]}


def setting(value: str | None, name: str = "DEBUG") -> dict[str, Any]:
    return {"Name": name, "Value": value, "Settable": ["value"]}


def test_the_same_is_no_difference() -> None:
    tree = rootfs(file("a", b"1"), link("b", "a")).tree
    found = compare_plugins(config(), config(), tree, tree)
    assert found.is_empty
    assert not found.grew


@pytest.mark.parametrize(
    ("before", "after", "grew"),
    [
        ({}, {"Network": {"Type": "host"}}, True),
        ({"Network": {"Type": "host"}}, {}, False),
        ({}, {"Linux": {"Capabilities": ["CAP_SYS_ADMIN"]}}, True),
        (mounts("ro"), mounts(), True),
        (mounts(), mounts("ro"), False),
        (mounts("ro"), mounts("ro", source="/other"), True),
        ({}, {"Entrypoint": ["/other"]}, False),
    ],
)
def test_what_counts_as_more(before: dict[str, Any], after: dict[str, Any], grew: bool) -> None:
    found = compare_plugins(config(**before), config(**after))
    assert found.grew is grew
    assert not found.is_empty


def test_settings_and_the_rest_of_the_config() -> None:
    before = config(Env=[setting("0"), setting("x", "GONE"), {"Name": "FIXED", "Value": "1"}], **mounts())
    after = config(
        Env=[setting("1"), setting(None, "NEW"), {"Name": "FIXED", "Value": "2"}], WorkDir="/w", **mounts("ro")
    )
    found = compare_plugins(before, after)
    assert found.settings == (
        FieldChange("DEBUG", "0", "1"),
        FieldChange("GONE", "x", None),
        FieldChange("NEW", None, "(none)"),
    )
    assert set(found.config) == {
        FieldChange("WorkDir", None, "/w"),
        FieldChange("Env FIXED", "1", "2"),
        FieldChange("Mount at /m", "/data bind", "/data bind ro"),
    }


def test_files() -> None:
    before = rootfs(
        file("same", b"1"),
        file("content", b"11"),
        file("mode"),
        file("kind"),
        link("link", "a"),
        file("gone", b"1"),
    )
    after = rootfs(
        file("same", b"1"),
        file("content", b"12"),
        file("mode", mode=0o4755),
        folder("kind"),
        link("link", "b"),
        file("new", b"123"),
    )
    assert compare_plugins(config(), config(), before.tree, after.tree).files == (
        FileChange("content", 2, 2, "content"),
        FileChange("gone", 1, None, "removed"),
        FileChange("kind", 0, 0, "file to folder"),
        FileChange("link", 0, 0, "link to b"),
        FileChange("mode", 0, 0, "mode 0755 to 4755"),
        FileChange("new", None, 3, "added"),
    )


def test_what_was_not_read_is_not_compared() -> None:
    assert compare_plugins(config(), config(), None, rootfs().tree).files is None
