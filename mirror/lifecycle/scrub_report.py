"""Report and metrics of scrubs and of damage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mirror.oci.timestamps import machine_time
from mirror.records.lifecycle.damage import DamageCounts, ScrubState
from mirror.runtime.metrics.shared_metrics import Labels, MetricFamily, MetricKind


@dataclass(frozen=True, slots=True)
class ScrubReport:
    """Facts known about the bytes of a store.

    Attributes:
        scrubs: the scrubs by name.
        counts: damaged and healed content.
    """

    scrubs: Mapping[str, ScrubState]
    counts: DamageCounts

    @property
    def last_finished_at(self) -> datetime | None:
        """The end of the last complete scrub; None before the first."""
        ends = [state.last_finished_at for state in self.scrubs.values()]
        return max((end for end in ends if end is not None), default=None)

    @property
    def total_bytes(self) -> int:
        """The bytes read by all scrubs."""
        return sum(state.total_bytes for state in self.scrubs.values())

    @property
    def total_damaged(self) -> int:
        """The files that all scrubs found damaged."""
        return sum(state.total_damaged for state in self.scrubs.values())

    def to_json(self) -> dict[str, object]:
        """Return the report as plain values."""
        return {
            "last_finished_at": machine_time(self.last_finished_at),
            "read_bytes": self.total_bytes,
            "found_damaged": self.total_damaged,
            "damaged": self.counts.damaged,
            "healed": self.counts.healed,
            "running": {
                name: {
                    "started_at": machine_time(state.started_at),
                    "files": state.files,
                    "read_bytes": state.read_bytes,
                    "damaged": state.damaged,
                }
                for name, state in sorted(self.scrubs.items())
                if state.finished_at is None
            },
        }


def _family(name: str, explanation: str, kind: MetricKind = MetricKind.GAUGE) -> MetricFamily:
    return MetricFamily(f"plugin_mirror_{name}", explanation, kind)


#: Metrics, with the functions that read their values from the report. None: there is no value yet.
METRICS: Final[tuple[tuple[MetricFamily, Callable[[ScrubReport], float | None]], ...]] = (
    (
        _family("scrub_read_bytes_total", "Bytes of the store that scrubs have read.", MetricKind.COUNTER),
        lambda report: report.total_bytes,
    ),
    (
        _family("scrub_damaged_files_total", "Files that scrubs have found damaged.", MetricKind.COUNTER),
        lambda report: report.total_damaged,
    ),
    (
        _family("scrub_last_finished_timestamp_seconds", "Unix time in seconds when the last complete scrub ended."),
        lambda report: None if report.last_finished_at is None else report.last_finished_at.timestamp(),
    ),
    (
        _family("damaged_content", "Blobs and manifests whose bytes are damaged or missing now."),
        lambda report: report.counts.damaged,
    ),
    (
        _family("healed_content_total", "Damaged blobs and manifests that were healed.", MetricKind.COUNTER),
        lambda report: report.counts.healed,
    ),
)


def scrub_metrics(report: ScrubReport) -> list[tuple[MetricFamily, list[tuple[Labels, list[float]]]]]:
    """Return the metrics of scrubs, each family with its series."""
    return [(family, [] if (value := read(report)) is None else [((), [value])]) for family, read in METRICS]
