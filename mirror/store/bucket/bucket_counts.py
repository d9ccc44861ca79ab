"""Counts of the requests to a bucket."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from mirror.oci.remote_storage_errors import BucketFault, BucketUnreachable

#: Operations and reasons of failures, as labels of metrics.
OPERATIONS: Final = ("put", "get", "head", "delete", "list")
FAILURES: Final = (BucketFault.reason, BucketUnreachable.reason)


@dataclass(slots=True)
class BucketCounts:
    """Requests of this process to its bucket.

    Attributes:
        requests: number of requests by operation.
        failures: number of failed requests by reason.
        sent_bytes: bytes of objects written.
        received_bytes: bytes of objects read.
    """

    requests: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OPERATIONS, 0))
    failures: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FAILURES, 0))
    sent_bytes: int = 0
    received_bytes: int = 0
