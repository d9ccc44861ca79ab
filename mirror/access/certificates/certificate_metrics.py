"""Metric of the files of TLS."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from mirror.access.certificates.certificate_facts import TlsPaths, dated_files, earliest_expiry
from mirror.runtime.metrics.shared_metrics import Labels, MetricFamily, MetricKind

EXPIRES: Final = MetricFamily(
    "plugin_mirror_tls_expires_timestamp_seconds",
    "Unix time in seconds at which the first certificate or list in a file of server.tls expires, by file "
    "(certificate, ca, client_ca, client_crl).",
    MetricKind.GAUGE,
    ("file",),
)


class CertificateExpiries:
    """The times at which the files of TLS expire.

    Args:
        paths: the files.
    """

    def __init__(self, paths: TlsPaths) -> None:
        self._paths = paths
        self._known: dict[str, datetime] = {}

    def read(self) -> tuple[MetricFamily, list[tuple[Labels, list[float]]]]:
        """Return the metric with its series. Blocks.

        The server goes on with the last usable content of a file, and so does the metric.
        """
        for facts in dated_files(self._paths):
            if (expiry := earliest_expiry(facts)) is not None:
                self._known[facts.kind] = expiry
        return EXPIRES, [((kind,), [expiry.timestamp()]) for kind, expiry in self._known.items()]
