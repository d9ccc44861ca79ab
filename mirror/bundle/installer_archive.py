"""The file that ``bundle installer`` writes: a zipapp of the modules in :mod:`mirror.bundle.installer`."""

from __future__ import annotations

import io
from importlib import resources
from typing import Final
from zipfile import ZIP_STORED, ZipFile, ZipInfo

_PACKAGE: Final = "mirror/bundle/installer"
_MAIN: Final = b"from mirror.bundle.installer.plugin_installer import main\n\nmain()\n"
_FIRST_LINE: Final = b"#!/usr/bin/env python3\n"


def installer_archive() -> bytes:
    """Return the installer: a file that ``python3`` runs. One version of this project returns always the same bytes."""
    folder = resources.files("mirror.bundle.installer")
    modules = {file.name: file.read_bytes() for file in folder.iterdir() if file.name.endswith(".py")}
    files = {
        "__main__.py": _MAIN,
        "mirror/__init__.py": b"",
        "mirror/bundle/__init__.py": b"",
        **{f"{_PACKAGE}/{name}": content for name, content in modules.items()},
    }
    buffer = io.BytesIO(_FIRST_LINE)
    buffer.seek(0, io.SEEK_END)
    with ZipFile(buffer, "a", ZIP_STORED) as archive:
        for name in sorted(files):
            # The time and mode of the entry do not depend on the installation. Nothing is compressed, because the
            # bytes would depend on the version of zlib.
            archive.writestr(ZipInfo(name), files[name])
    return buffer.getvalue()
