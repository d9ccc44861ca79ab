"""Evict everything that was pulled through, as on a full disk: `python -m tests.torture.evicting FOLDER`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mirror.store.registry import Store
from tests.torture.pulled import UPSTREAM


async def evict(data: Path) -> None:
    """Evict all artifacts in one step."""
    async with Store.open(data, keeps_changes=True) as store:
        contents = store.records.pulled_contents
        found = await contents.count(lambda _: (UPSTREAM,), await store.downloads.under_way())
        await contents.evict(found.artifacts)


if __name__ == "__main__":
    asyncio.run(evict(Path(sys.argv[1])))
