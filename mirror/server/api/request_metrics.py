"""Metrics of HTTP requests and TLS handshakes, and the handler of the metrics page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web

from mirror.oci import Repository
from mirror.runtime.metrics.shared_metrics import Counter, Histogram, MetricFamily, MetricKind, WorkerSlot
from mirror.server.tls.tls_handshake import HandshakeOutcome
from mirror.wire import routes
from mirror.wire.routes import Route

#: Renders the metrics page for an ``Accept`` header. Returns content type and body.
Page = Callable[[str], Awaitable[tuple[str, bytes]]]

_ROUTES: Final[dict[type[Route], str]] = {
    routes.PingRoute: "ping",
    routes.CatalogRoute: "catalog",
    routes.TagsRoute: "tags",
    routes.ReferrersRoute: "referrers",
    routes.ManifestRoute: "manifest",
    routes.BlobRoute: "blob",
    routes.UploadsRoute: "uploads",
    routes.UploadRoute: "upload",
}
_PATHS: Final = {"/healthz": "health", "/readyz": "health", "/metrics": "metrics", "/token": "token"}
_OTHER: Final = "other"
#: Pulls that an answer with content counts as. A pull is one manifest with its blobs.
_PULLS: Final[dict[type[Route], int]] = {routes.ManifestRoute: 1, routes.BlobRoute: 0}
_CONTENT: Final = (200, 206)
_STATUSES: Final = ("2xx", "3xx", "4xx", "5xx")
_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)

# All label values are fixed before the start, because workers count in shared memory (docs/adr/0008). Repository
# names are never labels.
_METHODS: Final = [
    *((name, method) for kind, name in _ROUTES.items() for method in sorted(kind.methods)),
    *((name, method) for name in ("health", "metrics") for method in ("GET", "HEAD")),
    *(("token", method) for method in ("GET", "POST")),
    (_OTHER, _OTHER),
]
_NAMES: Final = [(name,) for name in [*_ROUTES.values(), "health", "metrics", "token", _OTHER]]

REQUESTS: Final = MetricFamily(
    "plugin_mirror_requests_total",
    "HTTP requests answered, by route (other: no known path), method and class of status (2xx to 5xx).",
    MetricKind.COUNTER,
    ("route", "method", "status"),
    [(*pair, status) for pair in _METHODS for status in _STATUSES],
)
DURATION: Final = MetricFamily(
    "plugin_mirror_request_duration_seconds",
    "Seconds from the headers of an HTTP request to the last byte of its answer, by route and method.",
    MetricKind.HISTOGRAM,
    ("route", "method"),
    _METHODS,
    _SECONDS,
)
BLOB_HEADERS: Final = MetricFamily(
    "plugin_mirror_blob_headers_seconds",
    "Seconds from the headers of an HTTP request for a blob to the headers of its answer.",
    MetricKind.HISTOGRAM,
    bounds=_SECONDS,
)
RECEIVED: Final = MetricFamily(
    "plugin_mirror_received_bytes_total",
    "Bytes of HTTP request bodies received, by route.",
    MetricKind.COUNTER,
    ("route",),
    _NAMES,
)
SENT: Final = MetricFamily(
    "plugin_mirror_sent_bytes_total",
    "Bytes of HTTP response bodies sent, by route.",
    MetricKind.COUNTER,
    ("route",),
    _NAMES,
)
HANDSHAKES: Final = MetricFamily(
    "plugin_mirror_tls_handshakes_total",
    "TLS handshakes by outcome: done, failed, timed_out, plain_http, or disconnected.",
    MetricKind.COUNTER,
    ("outcome",),
    [(outcome.value,) for outcome in HandshakeOutcome],
)

FAMILIES: Final = (REQUESTS, DURATION, BLOB_HEADERS, RECEIVED, SENT, HANDSHAKES)


class RequestMetrics:
    """Counts answers and handshakes in the metrics :data:`FAMILIES`.

    Args:
        slot: the slot of this worker in the shared metrics.
        served: receives the repository of a manifest or blob that a client received, 1 for a manifest or 0 for a blob,
            and the number of bytes.

    Attributes:
        blob_headers: histogram of the time until the headers of a blob answer.
    """

    def __init__(
        self,
        slot: WorkerSlot,
        served: Callable[[Repository, int, int], None] = lambda _repository, _pulls, _size_bytes: None,
    ) -> None:
        self._served = served
        self._requests = {labels: slot.counter(REQUESTS, *labels) for labels in REQUESTS.series}
        self._durations = {labels: slot.histogram(DURATION, *labels) for labels in DURATION.series}
        self.blob_headers = slot.histogram(BLOB_HEADERS)
        self._received = {name: slot.counter(RECEIVED, name) for (name,) in RECEIVED.series}
        self._sent = {name: slot.counter(SENT, name) for (name,) in SENT.series}
        self._handshakes = {outcome: slot.counter(HANDSHAKES, outcome.value) for outcome in HandshakeOutcome}
        self._of: dict[tuple[type, str, int], _Series] = {}

    def handshake_ended(self, outcome: HandshakeOutcome) -> None:
        """Count a TLS handshake."""
        self._handshakes[outcome].add()

    def answered(
        self,
        request: web.BaseRequest,
        route: Route | None,
        status: int,
        *,
        seconds: float,
        received_bytes: int,
        sent_bytes: int,
    ) -> None:
        """Count an answer.

        Args:
            request: the request.
            route: the route of the request; None for paths outside the distribution API.
            status: the HTTP status of the answer.
            seconds: time from the request's headers to the end of the answer.
            received_bytes: bytes of the request's body.
            sent_bytes: bytes of the answer's body.
        """
        kind = type(route)
        series = self._of.get((kind, request.method, status)) or self._series(kind, request, status)
        series.requests.add()
        series.duration.observe(seconds)
        if received_bytes:
            series.received.add(received_bytes)
        if sent_bytes:
            series.sent.add(sent_bytes)
            if series.pulls is not None and (isinstance(route, (routes.ManifestRoute, routes.BlobRoute))):
                self._served(route.repository, series.pulls, sent_bytes)

    def _series(self, kind: type, request: web.BaseRequest, status: int) -> _Series:
        """Return the series of an answer. Those of distribution routes are cached, because their number is bounded."""
        name, method = _ROUTES.get(kind) or _PATHS.get(request.rel_url.raw_path, _OTHER), request.method
        if (name, method) not in self._durations:
            name = method = _OTHER
        requests = self._requests[name, method, _STATUSES[min(max(status // 100, 2), 5) - 2]]
        pulls = _PULLS.get(kind) if method == "GET" and status in _CONTENT else None
        series = _Series(requests, self._durations[name, method], self._received[name], self._sent[name], pulls)
        if kind in _ROUTES:
            self._of[kind, method, status] = series
        return series


@dataclass(slots=True, eq=False)
class _Series:
    """The counters for answers of one kind. ``pulls`` is None if the answers have no content of a repository."""

    requests: Counter
    duration: Histogram
    received: Counter
    sent: Counter
    pulls: int | None


def showing(page: Page) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    """Return the handler of ``/metrics``."""

    async def show(request: web.BaseRequest) -> web.Response:
        content_type, body = await page(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    return show
