"""Read a folder for ``docker plugin create``, with ``config.json`` and ``rootfs/``, like a plugin.

A ``config.template`` is read in place of a missing ``config.json``. Its placeholders stay, and are findings.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from mirror.authoring.files.folder_tree import FolderWalk
from mirror.authoring.files.safe_files import open_folder, reading
from mirror.oci.errors import ConfigurationFault, ContentTooLarge, ManifestInvalid
from mirror.plugin.build.config_template import without_comments
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES, PluginConfig
from mirror.plugin.findings.finding import Finding
from mirror.plugin.findings.manifest_findings import CONFIG_UNREADABLE, FILES_MISSING
from mirror.plugin.findings.rootfs_findings import ROOTFS_MISSING
from mirror.plugin.lint.plugin_view import PluginContent
from mirror.plugin.lint.rootfs_checks import names_to_find
from mirror.plugin.rootfs.entry import LayerEntry
from mirror.plugin.rootfs.rootfs_builder import RootfsBuilder

CONFIG: Final = "config.json"
TEMPLATE: Final = "config.template"
#: Part of the name of a file that is read as a template.
TEMPLATE_SUFFIX: Final = ".template"


async def read_plugin_folder(path: Path) -> PluginContent:
    """Read the folder of a plugin, or a ``config.json`` or ``config.template`` alone.

    If the call is cancelled, the thread stops after the file that it is reading.

    Args:
        path: the folder or file.

    Raises:
        ConfigurationFault: ``path`` is not the folder of a plugin, or cannot be read.
    """
    # A thread cannot be cancelled, and the event loop waits for it when it closes. The event makes the thread stop.
    stopping = threading.Event()
    try:
        return await asyncio.to_thread(_read, path, stopping)
    finally:
        stopping.set()


def is_plugin_folder(path: Path) -> bool:
    """Return True if a folder has the config of a plugin, or a template of one."""
    return _config_file(path).is_file()


def _config_file(folder: Path) -> Path:
    """Return the config in a folder, or its template if there is no config, as ``pack`` chooses without values."""
    config, template = folder / CONFIG, folder / TEMPLATE
    return template if template.is_file() and not config.is_file() else config


def _read(path: Path, stopping: threading.Event) -> PluginContent:
    folder = path.is_dir()
    file = _config_file(path) if folder else path
    if not file.is_file():
        raise ConfigurationFault(
            f"{path} is not a folder for 'docker plugin create'; fix: name a folder with {CONFIG} or {TEMPLATE}, and "
            "with rootfs/, or FILE.tar:NAME:TAG in a bundle"
        )
    with reading(file), file.open("rb") as stream:
        # One byte more than allowed is enough to find out that the file is too large.
        content = stream.read(MAX_CONFIG_BYTES + 1)
    # A file that is too large is refused as it is, as when it is packed.
    if TEMPLATE_SUFFIX in file.name and len(content) <= MAX_CONFIG_BYTES:
        content = without_comments(content)
    findings: list[Finding] = []
    config = None
    try:
        config = PluginConfig.parse(content)
    except (ManifestInvalid, ContentTooLarge) as error:
        findings.append(CONFIG_UNREADABLE(reason=f"{file.name}: {error.message}"))
    if not folder:
        return PluginContent(config, None, tuple(findings))
    rootfs = path / "rootfs"
    if not rootfs.is_dir():
        # The files of a template may be in an image, which only ``pack`` knows.
        missing = [] if file.name == TEMPLATE else [ROOTFS_MISSING()]
        return PluginContent(config, None, (*findings, *missing))
    builder = RootfsBuilder(() if config is None else names_to_find(config))
    with ExitStack() as stack:
        with reading(rootfs):
            root = open_folder(rootfs)
        stack.callback(os.close, root)
        for entry in FolderWalk(root, rootfs, stack, owners=True).entries():
            # A tree that has reached its limit is not judged, so the rest need not be read.
            if stopping.is_set() or not builder.grows:
                break
            builder.begin(LayerEntry.of(*entry))
            held = entry.node.content
            for piece in held.chunks() if held is not None else ():
                builder.content(piece, 0, len(piece))
            builder.end()
    read = builder.finish()
    if not read.tree.root.children:
        findings.append(FILES_MISSING())
    return PluginContent(config, read, tuple(findings))
