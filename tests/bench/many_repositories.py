"""Add very many repositories to a catalog with SQL, since the registry port needs one transaction for each.

Plain SQL also works with catalogs of every plugin-mirror version that has these tables.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from tests.harness.packing import digest_of

_EMPTY = b"{}"
_TIMEOUT_SECONDS = 30


def name(number: int) -> str:
    """Return the name of a repository. Names sort in the order of their numbers."""
    return f"many/repository-{number:06}"


def add(data: Path, count: int) -> None:
    """Add `count` repositories that hold one blob to the empty store at `data`, which may be in use."""
    digest, now = digest_of(_EMPTY), datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    numbers = range(1, count + 1)
    with closing(sqlite3.connect(data / "catalog.sqlite", timeout=_TIMEOUT_SECONDS)) as catalog, catalog:
        catalog.execute("INSERT INTO blobs (digest, size_bytes, stored_at) VALUES (?, ?, ?)", (digest, 2, now))
        rows = [(number, name(number - 1)) for number in numbers]
        catalog.executemany("INSERT INTO repositories (id, name) VALUES (?, ?)", rows)
        held = [(number, digest, now) for number in numbers]
        catalog.executemany("INSERT INTO repository_blobs (repository_id, digest, added_at) VALUES (?, ?, ?)", held)
