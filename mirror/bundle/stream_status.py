"""State of the streams of bundles, for ``/api/v1/bundles``, ``plugin-mirror status`` and metrics. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mirror.bundle.bundle_age import AgeLimits, age_warning
from mirror.bundle.format.bundle_head import BundleHead
from mirror.oci import Digest
from mirror.oci.timestamps import machine_time
from mirror.records.bundle_trust import StreamState


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """Last bundle of a stream.

    Attributes:
        at: time of the status.
        stream: name of the stream.
        serial: serial of the bundle.
        statement: digest of its statement; None after a key set has reset the stream.
        created_at: time at which the bundle was made.
        imported_at: time of the import; None for a bundle that is served without an import.
        is_signed: True if trusted keys have signed the bundle.
        warning: sentence about its age; None if there is nothing to say.
    """

    at: datetime
    stream: str
    serial: int
    statement: Digest | None
    created_at: datetime
    imported_at: datetime | None
    is_signed: bool
    warning: str | None

    @classmethod
    def of_imported(cls, state: StreamState, at: datetime, limits: AgeLimits) -> StreamStatus:
        """Return the status of a stream of which a bundle was imported."""
        warning = age_warning(state.created_at, at, limits)
        is_signed = state.root is not None
        return cls(
            at, state.stream, state.serial, state.statement, state.created_at, state.imported_at, is_signed, warning
        )

    @classmethod
    def of_served(cls, head: BundleHead, at: datetime, limits: AgeLimits, *, is_signed: bool) -> StreamStatus:
        """Return the status of a bundle that is served without an import."""
        made = head.statement
        warning = age_warning(made.created, at, limits)
        return cls(at, made.stream, made.serial, head.envelope.digest, made.created, None, is_signed, warning)

    @property
    def age_seconds(self) -> float:
        """Age of the bundle; 0 if a clock is wrong."""
        return max((self.at - self.created_at).total_seconds(), 0.0)

    def to_json(self) -> dict[str, Any]:
        """Return the status as plain values. Times are in UTC (RFC 3339)."""
        return {
            "stream": self.stream,
            "serial": self.serial,
            "statement": None if self.statement is None else str(self.statement),
            "created_at": machine_time(self.created_at),
            "imported_at": machine_time(self.imported_at),
            "age_seconds": self.age_seconds,
            "signed": self.is_signed,
            "warning": self.warning,
        }
