"""Metrics of logins."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from mirror.runtime.metrics.shared_metrics import MetricFamily, MetricKind, WorkerSlot


class LoginOutcome(StrEnum):
    """Outcome of a login attempt."""

    PASSWORD = "password"  # noqa: S105 - the name of an outcome
    TOKEN = "token"  # noqa: S105 - as above
    WRONG = "wrong"
    RATE_LIMITED = "rate_limited"


LOGINS: Final = MetricFamily(
    "plugin_mirror_logins_total",
    "Logins by outcome: accepted by password or by token, wrong, or rate_limited after too many wrong ones.",
    MetricKind.COUNTER,
    ("outcome",),
    [(outcome.value,) for outcome in LoginOutcome],
)


def login_counter(slot: WorkerSlot) -> Callable[[LoginOutcome], None]:
    """Return a function that counts login outcomes in the shared memory of a worker."""
    shared_metrics = {outcome: slot.counter(LOGINS, outcome.value) for outcome in LoginOutcome}
    return lambda outcome: shared_metrics[outcome].add()
