"""Very many repositories in a catalog of ours, by SQL: through the port each one would be a transaction.

By nothing but SQL, so that catalogs of every version that has these tables can be filled.
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
    """The repository of that number; in the order of the numbers."""
    return f"many/repository-{number:06}"


def add(data: Path, count: int) -> None:
    """Have so many repositories hold one blob in the empty store at `data`, also while it is served."""
    digest, now = digest_of(_EMPTY), datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    numbers = range(1, count + 1)
    with closing(sqlite3.connect(data / "catalog.sqlite", timeout=_TIMEOUT_SECONDS)) as catalog, catalog:
        catalog.execute("INSERT INTO blobs (digest, size_bytes, stored_at) VALUES (?, ?, ?)", (digest, 2, now))
        rows = [(number, name(number - 1)) for number in numbers]
        catalog.executemany("INSERT INTO repositories (id, name) VALUES (?, ?)", rows)
        held = [(number, digest, now) for number in numbers]
        catalog.executemany("INSERT INTO repository_blobs (repository_id, digest, added_at) VALUES (?, ?, ?)", held)
