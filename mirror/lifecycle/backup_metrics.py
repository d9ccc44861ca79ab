"""Metrics of the last backup."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from mirror.records.lifecycle.backups import LastBackup
from mirror.runtime.metrics.shared_metrics import Labels, MetricFamily, MetricKind


def _gauge(name: str, explanation: str) -> MetricFamily:
    return MetricFamily(f"plugin_mirror_backup_{name}", explanation, MetricKind.GAUGE)


#: Gauges of the last backup, with the functions that read their values.
BACKUP_GAUGES: Final[Sequence[tuple[MetricFamily, Callable[[LastBackup], float]]]] = (
    (
        _gauge(
            "created_timestamp_seconds",
            "Unix time in seconds of the last complete backup. Absent before the first one.",
        ),
        lambda backup: backup.created.timestamp(),
    ),
    (
        _gauge("size_bytes", "Bytes of the blobs in the last complete backup."),
        lambda backup: backup.size_bytes,
    ),
    (
        _gauge("damaged_blobs", "Blobs that the last complete backup lacks, because the store had lost them."),
        lambda backup: backup.damaged,
    ),
)


def backup_gauges(last: LastBackup | None) -> list[tuple[MetricFamily, list[tuple[Labels, list[float]]]]]:
    """Return the gauges of the last backup, each family with its series. None before the first backup: no series."""
    return [] if last is None else [(family, [((), [read(last)])]) for family, read in BACKUP_GAUGES]
