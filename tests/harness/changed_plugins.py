"""The working volume driver with a changed config and other files, to compare the findings of lint with engines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirror.authoring.files.plugin_folder import read_plugin_folder
from mirror.plugin.findings.finding import Finding
from mirror.plugin.lint.plugin_view import view_plugin
from mirror.plugin.rootfs.platform import Platform
from tests.harness import plugins

Config = dict[str, Any]
#: Changes the config and the folder of the root filesystem.
Change = Callable[[Config, Path], None]


@dataclass(frozen=True)
class Fault:
    """A faulty plugin, the finding that predicts the fault, and the message of the engine.

    Attributes:
        name: Name of the plugin.
        change: Change that makes the working driver faulty.
        code: Code of the finding.
        seen: Regular expression for a part of the engine's message.
        mended: Change that makes the repaired plugin. None means the unchanged driver.
    """

    name: str
    change: Change
    code: str
    seen: str
    mended: Change | None = None

    @property
    def name_mended(self) -> str:
        """Name of the repaired plugin."""
        return f"{self.name}-mended" if self.mended is not None else "as-it-is"


def with_mended(faults: list[Fault]) -> dict[str, Change | None]:
    """Return the changes of faulty and repaired plugins, by the name of the plugin."""
    return {fault.name: fault.change for fault in faults} | {fault.name_mended: fault.mended for fault in faults}


def members(**given: Any) -> Change:
    """Replace members of the config."""

    def change(config: Config, _: Path) -> None:
        config.update(given)

    return change


def mounts(*items: dict[str, Any]) -> Change:
    """Add mounts with the given members."""
    whole = {"Name": "m", "Source": "/tmp", "Destination": "/m", "Type": "bind", "Options": ["rbind"]}
    return members(Mounts=[whole | item for item in items])


def write_changed(folder: Path, change: Change | None) -> Path:
    """Write a changed working driver into a folder.

    A unique file makes every layer different, since old engines have problems with plugins that share a layer.
    """
    plugins.volume_plugin(folder)
    config = json.loads((folder / "config.json").read_bytes())
    if change is not None:
        change(config, folder / "rootfs")
    (folder / "rootfs/unique").write_text(str(folder))
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def findings_of(folder: Path, hosts: Platform | None = None) -> tuple[Finding, ...]:
    """Return the findings for the folder of a plugin, for hosts of a platform."""
    return view_plugin(asyncio.run(read_plugin_folder(folder)), hosts=hosts).findings
