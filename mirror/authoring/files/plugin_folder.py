"""A folder for ``docker plugin create``, ``config.json`` and ``rootfs/``, read as if it were a plugin."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import ExitStack
from pathlib import Path

from mirror.authoring.files.folder_tree import FolderWalk
from mirror.authoring.files.safe_files import open_folder, reading
from mirror.oci.errors import ConfigurationFault, ContentTooLarge, ManifestInvalid
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES, PluginConfig
from mirror.plugin.lint.findings import Finding
from mirror.plugin.lint.manifest_findings import CONFIG_UNREADABLE, FILES_MISSING
from mirror.plugin.lint.plugin_view import PluginContent
from mirror.plugin.lint.rootfs_checks import names_to_find
from mirror.plugin.lint.rootfs_findings import ROOTFS_MISSING
from mirror.plugin.rootfs.rootfs_builder import RootfsBuilder


async def read_plugin_folder(path: Path, *, digests: bool = False) -> PluginContent:
    """Read such a folder, or a ``config.json`` alone.

    Args:
        path: the folder, or the file.
        digests: whether each file is hashed, so that it can be compared.

    Raises:
        ConfigurationFault: it is no such folder, or cannot be read.

    Cancelled, reading ends with the file that is being read.
    """
    stopping = threading.Event()
    try:
        return await asyncio.to_thread(_read, path, digests, stopping)
    finally:
        stopping.set()


def _read(path: Path, digests: bool, stopping: threading.Event) -> PluginContent:  # noqa: FBT001 - one caller
    folder = path.is_dir()
    file = path / "config.json" if folder else path
    if not file.is_file():
        raise ConfigurationFault(
            f"{path} is no plugin's folder: 'docker plugin create' takes one with config.json and rootfs/ in it"
        )
    with reading(file), file.open("rb") as stream:
        content = stream.read(MAX_CONFIG_BYTES + 1)
    findings: list[Finding] = []
    config = None
    try:
        config = PluginConfig.parse(content)
    except (ManifestInvalid, ContentTooLarge) as error:
        findings.append(CONFIG_UNREADABLE(reason=error.message))
    if not folder:
        return PluginContent(config, None, tuple(findings))
    rootfs = path / "rootfs"
    if not rootfs.is_dir():
        return PluginContent(config, None, (*findings, ROOTFS_MISSING()))
    builder = RootfsBuilder(() if config is None else names_to_find(config), digests=digests)
    with ExitStack() as stack:
        with reading(rootfs):
            root = open_folder(rootfs)
        stack.callback(os.close, root)
        for entry, held in FolderWalk(root, rootfs, stack, owners=True).entries():
            if stopping.is_set() or not builder.grows:
                break
            builder.begin(entry)
            for piece in held.chunks() if held is not None else ():
                builder.content(piece, 0, len(piece))
            builder.end()
    read = builder.finish()
    if not read.tree.root.children:
        findings.append(FILES_MISSING())
    return PluginContent(config, read, tuple(findings))
