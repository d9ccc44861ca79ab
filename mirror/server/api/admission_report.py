"""``GET /api/v1/admission``: plugins that are known to the admission policy, and how they stand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final

from mirror.records.admissions import Admission
from mirror.records.verdicts import Verdicts
from mirror.runtime.concurrency.shared_tasks import SharedTasks

#: Largest report that is kept for who asks next, in bytes: that of some 20 000 plugins.
_MOST_KEPT_BYTES: Final = 8 * 1024 * 1024


class AdmissionReport:
    """The report, made once for all who ask, for as long as the catalog has not changed.

    Args:
        verdicts: has the count of changes, for as long as which a report is good.
        listed: lists how plugins stand.
    """

    def __init__(self, verdicts: Verdicts, listed: Callable[[], Awaitable[Sequence[Admission]]]) -> None:
        self._verdicts = verdicts
        self._listed = listed
        self._readings: SharedTasks[Hashable, bytes] = SharedTasks()
        self._kept: tuple[int, bytes] | None = None

    async def give(self) -> bytes:
        """Give the report, as JSON."""
        generation = self._verdicts.admission_generation
        if self._kept is not None and self._kept[0] == generation:
            return self._kept[1]
        # Who comes while the catalog is being changed does not share: the change may be their own.
        key = object() if generation is None else generation
        return await self._readings.run(key, lambda: self._make(generation))

    async def _make(self, generation: int | None) -> bytes:
        body = await asyncio.to_thread(_in_json, await self._listed())
        if generation is not None and len(body) <= _MOST_KEPT_BYTES:
            self._kept = (generation, body)
        return body


def _in_json(admissions: Sequence[Admission]) -> bytes:
    return json.dumps({"admissions": [admission.to_json() for admission in admissions]}).encode()
