"""Metric of the keys of a token issuer."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from mirror.runtime.metrics.shared_metrics import MetricFamily, MetricKind, WorkerSlot


class KeyFetchOutcome(StrEnum):
    """Outcome of a fetch of the key set."""

    FETCHED = "fetched"
    FAILED = "failed"


KEY_FETCHES: Final = MetricFamily(
    "plugin_mirror_token_issuer_key_fetches_total",
    "Fetches of the key set at the URL of server.token_issuer.jwks, by outcome (fetched, failed).",
    MetricKind.COUNTER,
    ("outcome",),
    [(outcome.value,) for outcome in KeyFetchOutcome],
)


def key_fetch_counter(slot: WorkerSlot) -> Callable[[KeyFetchOutcome], None]:
    """Return a function that counts fetches in the shared memory of a worker."""
    counters = {outcome: slot.counter(KEY_FETCHES, outcome.value) for outcome in KeyFetchOutcome}
    return lambda outcome: counters[outcome].add()
