"""Plugins of pydantic, which are foreign code among the settings and the options. No command loads them."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Final

#: The module with which pydantic looks for plugins when it builds its first validator. It reads the metadata of all
#: installed packages, and imports a reader of zip files and one of mail for that, also if the variable
#: PYDANTIC_DISABLE_PLUGINS forbids all plugins.
_LOADER: Final = "pydantic.plugin._loader"


def leave_out_plugins() -> None:
    """Let pydantic find no plugins in this process."""
    loader = ModuleType(_LOADER)
    loader.get_plugins = tuple  # type: ignore[attr-defined]
    sys.modules.setdefault(_LOADER, loader)
