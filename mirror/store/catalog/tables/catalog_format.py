"""The format of the catalog: what tells that its tables and rows are those of this version."""

from __future__ import annotations

from typing import Final

#: The revision of the migration that makes the tables.
HEAD: Final = "0018"
#: Name of the finished work that writes the rows of ``manifest_children``. Until then, nothing may be collected.
MANIFESTS_INDEXED: Final = "manifests indexed"
