"""Metrics of plugin admission: decisions of the policy, and plugins by admission state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from mirror.plugin.policy.policy_action import PolicyAction
from mirror.records.admission.admissions import AdmissionState
from mirror.runtime.metrics.shared_metrics import Labels, MetricFamily, MetricKind, WorkerSlot

DECISIONS: Final = MetricFamily(
    "plugin_mirror_admission_decisions_total",
    "Decisions of the admission policy about plugins, by action (allow, warn, hold, deny).",
    MetricKind.COUNTER,
    ("action",),
    [(action.value,) for action in PolicyAction],
)
STANDING: Final = MetricFamily(
    "plugin_mirror_admissions",
    "Plugins known to the admission policy, by state of admission.",
    MetricKind.GAUGE,
    ("state",),
)


def decision_counter(slot: WorkerSlot) -> Callable[[PolicyAction], None]:
    """Return a function that counts decisions of the policy in one serving process."""
    # Looked up once: every decision of a serving process is counted.
    counters = {action: slot.counter(DECISIONS, action.value) for action in PolicyAction}
    return lambda action: counters[action].add()


def standing_series(counts: Mapping[AdmissionState, int]) -> list[tuple[Labels, list[float]]]:
    """Return the values of :data:`STANDING` from the number of plugins in each state."""
    return [((state.value,), [float(count)]) for state, count in counts.items()]
