"""Report ``GET /api/v1/admission``: the plugins known to the admission policy, and their states."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final

from mirror.records.admission.admissions import Admission
from mirror.records.admission.verdicts import Verdicts
from mirror.runtime.concurrency.shared_tasks import SharedTasks

#: Largest report kept in memory for the next request, in bytes. About 20 000 plugins fit.
_MOST_KEPT_BYTES: Final = 8 * 1024 * 1024


class AdmissionReport:
    """The report, built once for all clients until the catalog changes.

    Args:
        verdicts: has the generation of the catalog, for which a report is valid.
        listed: lists the admissions of all plugins.
    """

    def __init__(self, verdicts: Verdicts, listed: Callable[[], Awaitable[Sequence[Admission]]]) -> None:
        self._verdicts = verdicts
        self._listed = listed
        self._readings: SharedTasks[Hashable, bytes] = SharedTasks()
        self._kept: tuple[int, bytes] | None = None

    async def give(self) -> bytes:
        """Return the report as JSON."""
        generation = self._verdicts.admission_generation
        if self._kept is not None and self._kept[0] == generation:
            return self._kept[1]
        # While a change is being committed there is no generation, and requests share no report: each client must see
        # a change that it has made itself.
        key = object() if generation is None else generation
        return await self._readings.run(key, lambda: self._make(generation))

    async def _make(self, generation: int | None) -> bytes:
        # In a thread: serialising thousands of plugins would block the event loop.
        body = await asyncio.to_thread(_in_json, await self._listed())
        if generation is not None and len(body) <= _MOST_KEPT_BYTES:
            self._kept = (generation, body)
        return body


def _in_json(admissions: Sequence[Admission]) -> bytes:
    return json.dumps({"admissions": [admission.to_json() for admission in admissions]}).encode()
