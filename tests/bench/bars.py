"""Performance goals of the project, and their comparison with a run. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.bench.attacks import NEW_SERVED, UPLOAD_FOLDERS, WORST_MS, WORST_NEW_MS, WORST_PUSH_MS
from tests.bench.bundling import BEYOND_PERCENT, COPY, EMPTY_KIB
from tests.bench.bundling import SKOPEO as BUNDLING_SKOPEO
from tests.bench.cases import ONE_TAG
from tests.bench.content import MIB
from tests.bench.looking import FIRST, LAYERS_MS
from tests.bench.packing import PEAK_MIB, TAR
from tests.bench.pulling import DIRECT, LAST_FIRST_BYTE_MS, NO_RULE, UPSTREAM_COPIES
from tests.bench.quotas import NO_QUOTAS
from tests.bench.sample import Sample, Spread, ratios
from tests.bench.servers import NGINX, OURS, PLAIN, REGISTRY
from tests.bench.syncing import SKOPEO
from tests.bench.upkeep import COLLECTION, SCRUB
from tests.bench.upkeep import WORST_MS as WAIT_MS

#: Samples of one case by contestant, one for each round.
Rounds = Mapping[str, Sequence[Sample]]


@dataclass(frozen=True, slots=True)
class Bar:
    """A limit for a measurement of one case.

    Attributes:
        text: The limit in words, as printed in the table.
        case: Name of the case.
        measure: Computes the measurement from the rounds of the case.
        at_least: Lower limit, or None.
        at_most: Upper limit, or None.
    """

    text: str
    case: str
    measure: Callable[[Rounds], float]
    at_least: float | None = None
    at_most: float | None = None

    def verdict(self, results: Mapping[str, Rounds]) -> Verdict:
        """Compare a run with the limit.

        The verdict has no measurement if the case or one of its contestants was not measured.
        """
        try:
            measured = self.measure(results[self.case])
        except KeyError:
            return Verdict(self.text, self.case, None, None)
        met = (self.at_least is None or measured >= self.at_least) and (
            self.at_most is None or measured <= self.at_most
        )
        return Verdict(self.text, self.case, measured, met)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of a bar.

    Attributes:
        text: The limit in words.
        case: Name of the case.
        measured: The measurement, or None if there is none.
        met: True if the limit is met, or None if there is no measurement.
    """

    text: str
    case: str
    measured: float | None
    met: bool | None


def rate_over(rival: str) -> Callable[[Rounds], float]:
    """Return a measure: the ratio of our rate to that of `rival`."""
    return lambda rounds: (
        ratios([sample.rate for sample in rounds[OURS]], [sample.rate for sample in rounds[rival]]).median
    )


def p99_over(rival: str) -> Callable[[Rounds], float]:
    """Return a measure: the ratio of our 99th percentile latency to that of `rival`."""
    return lambda rounds: (
        ratios(
            [sample.outcome.p99_seconds for sample in rounds[OURS]],
            [sample.outcome.p99_seconds for sample in rounds[rival]],
        ).median
    )


def p50_over(rival: str) -> Callable[[Rounds], float]:
    """Return a measure: the ratio of our median latency to that of `rival`."""
    return lambda rounds: (
        ratios(
            [sample.outcome.p50_seconds for sample in rounds[OURS]],
            [sample.outcome.p50_seconds for sample in rounds[rival]],
        ).median
    )


def seconds_over(rival: str) -> Callable[[Rounds], float]:
    """Return a measure: the ratio of our total duration to that of `rival`."""
    return lambda rounds: (
        ratios(
            [sample.outcome.seconds for sample in rounds[OURS]], [sample.outcome.seconds for sample in rounds[rival]]
        ).median
    )


def p50_seconds(rounds: Rounds) -> float:
    """Return the median duration of our work, in seconds."""
    return Spread.of([sample.outcome.p50_seconds for sample in rounds[OURS]]).median


def figure(name: str) -> Callable[[Rounds], float]:
    """Return a measure: the median of our figure `name`."""
    return lambda rounds: Spread.of([sample.outcome.figures[name] for sample in rounds[OURS]]).median


def figure_over(name: str, rival: str) -> Callable[[Rounds], float]:
    """Return a measure: the ratio of our median of figure `name` to that of `rival`."""
    return lambda rounds: (
        figure(name)(rounds) / Spread.of([sample.outcome.figures[name] for sample in rounds[rival]]).median
    )


def figure_beyond(name: str, rival: str) -> Callable[[Rounds], float]:
    """Return a measure: the difference between the medians of figure `name`, ours minus that of `rival`."""
    return lambda rounds: (
        figure(name)(rounds) - Spread.of([sample.outcome.figures[name] for sample in rounds[rival]]).median
    )


def figure_ratio(name: str, of: str, over: str) -> Callable[[Rounds], float]:
    """Return a measure: the ratio of figure `name` between two contestants, computed for each round."""
    return lambda rounds: (
        ratios(
            [sample.outcome.figures[name] for sample in rounds[of]],
            [sample.outcome.figures[name] for sample in rounds[over]],
        ).median
    )


def cpu_ratio(of: str, over: str) -> Callable[[Rounds], float]:
    """Return a measure: the ratio of the CPU time for one unit of work between two contestants."""
    return lambda rounds: (
        ratios(
            [sample.cpu_seconds_each for sample in rounds[of]], [sample.cpu_seconds_each for sample in rounds[over]]
        ).median
    )


def worst_figure(name: str) -> Callable[[Rounds], float]:
    """Return a measure: the largest median of figure `name` among all contestants that have the figure."""

    def measure(rounds: Rounds) -> float:
        having = [samples for samples in rounds.values() if name in samples[0].outcome.figures]
        if not having:
            raise KeyError(name)
        return max(Spread.of([sample.outcome.figures[name] for sample in samples]).median for samples in having)

    return measure


def largest_rss_mib(rounds: Rounds) -> float:
    """Return the largest resident memory of any process of our server in any round, in MiB."""
    return Spread.of([sample.cost.largest_rss_bytes for sample in rounds[OURS]]).high / MIB


BARS: Sequence[Bar] = (
    Bar("at least 10 times docker-registry", "manifest-get-tag", rate_over(REGISTRY), at_least=10),
    Bar("at least 10 times docker-registry", "manifest-head-tag", rate_over(REGISTRY), at_least=10),
    Bar("at least 3.5 times docker-registry", "blob-get-1mib", rate_over(REGISTRY), at_least=3.5),
    Bar("at least 0.8 times nginx", "blob-get-1mib", rate_over(NGINX), at_least=0.8),
    Bar("at least 1.3 times docker-registry", "blob-push-256mib", rate_over(REGISTRY), at_least=1.3),
    Bar("at least 0.7 times that without TLS", "tls-manifest-get-tag", rate_over(PLAIN), at_least=0.7),
    Bar("at least 7 times docker-registry with TLS", "tls-manifest-get-tag", rate_over(REGISTRY), at_least=7),
    Bar("at least 1.5 times docker-registry with TLS", "tls-blob-get-1mib", rate_over(REGISTRY), at_least=1.5),
    Bar("at least 0.7 times nginx with TLS", "tls-blob-get-1mib", rate_over(NGINX), at_least=0.7),
    *(
        Bar("at least 0.95 times that without quotas", case, rate_over(NO_QUOTAS), at_least=0.95)
        for case in ("push-quotas-64kib", "push-quotas-4mib")
    ),
    Bar("at least as fast as tar | gzip -6", "pack", rate_over(TAR), at_least=1),
    *(
        bar
        for case in ("bundle-export", "bundle-import")
        for bar in (
            Bar("at most 1.3 times as long as cp, sync, sha256sum", case, p50_over(COPY), at_most=1.3),
            Bar("at least as fast as skopeo with oci-archive:", case, rate_over(BUNDLING_SKOPEO), at_least=1),
            Bar("at most 150 MiB resident", case, figure(PEAK_MIB), at_most=150),
        )
    ),
    Bar("at most 64 KiB without a change", "bundle-delta", figure(EMPTY_KIB), at_most=64),
    Bar("at most 1 % beyond the blobs of the change", "bundle-delta", figure(BEYOND_PERCENT), at_most=1),
    *(
        bar
        for busy in (COLLECTION, SCRUB)
        for bar in (
            Bar(
                f"longest wait at most 1.2 times that without upkeep: {busy}",
                "pulls-beside-upkeep",
                figure_ratio(WAIT_MS, busy, OURS),
                at_most=1.2,
            ),
            Bar(
                f"CPU of a pull at most 1.2 times that without upkeep: {busy}",
                "pulls-beside-upkeep",
                cpu_ratio(busy, OURS),
                at_most=1.2,
            ),
        )
    ),
    Bar("100 000 of 200 000 files at most 300 s", "collect-100000", p50_seconds, at_most=300),
    Bar("at most 150 MiB resident", "collect-100000", figure(PEAK_MIB), at_most=150),
    Bar("at most a quarter of the CPU of the first look", "lint-again", figure_over(LAYERS_MS, FIRST), at_most=0.25),
    Bar("at least as fast as tar | gzip -6", "pack-small-files", rate_over(TAR), at_least=1),
    Bar("at most 150 MiB resident", "pack-small-files", figure(PEAK_MIB), at_most=150),
    Bar("p99 at most 1.3 times that with one tag", "manifest-get-tag-of-100000", p99_over(ONE_TAG), at_most=1.3),
    Bar(
        "first byte at most 20 ms after that of one, directly",
        "pull-first-byte",
        figure_beyond(LAST_FIRST_BYTE_MS, DIRECT),
        at_most=20,
    ),
    Bar("upstream bytes at most 1.00 times its size", "pull-cold-16", figure(UPSTREAM_COPIES), at_most=1.004),
    Bar("at most 1.1 times as long as one client directly", "pull-cold-16", seconds_over(DIRECT), at_most=1.1),
    Bar(
        "first byte at most 20 ms after that of one, directly",
        "pull-cold-16",
        figure_beyond(LAST_FIRST_BYTE_MS, DIRECT),
        at_most=20,
    ),
    Bar("upstream bytes at most 1.00 times its size", "pull-cold-64", figure(UPSTREAM_COPIES), at_most=1.004),
    Bar("at most 1.1 times as long as one client directly", "pull-cold-64", seconds_over(DIRECT), at_most=1.1),
    Bar(
        "first byte at most 20 ms after that of one, directly",
        "pull-cold-64",
        figure_beyond(LAST_FIRST_BYTE_MS, DIRECT),
        at_most=20,
    ),
    Bar("p50 at most 1.1 times that with no rule", "pull-upstream-gone", p50_over(NO_RULE), at_most=1.1),
    Bar("at least 2 times skopeo", "sync-cold", rate_over(SKOPEO), at_least=2),
    Bar("at least 2 times skopeo", "sync-cold-far", rate_over(SKOPEO), at_least=2),
    Bar("at least 10 times skopeo", "sync-unchanged-far", rate_over(SKOPEO), at_least=10),
    Bar("at most 150 MiB resident in any process", "transfers-1gib", largest_rss_mib, at_most=150),
    Bar("worst GET /v2/ at most 250 ms, whatever goes on", "attacks", worst_figure(WORST_MS), at_most=250),
    Bar("worst GET /v2/ on a new connection at most 250 ms", "attacks", worst_figure(WORST_NEW_MS), at_most=250),
    Bar("at least 99 % of new connections served", "attacks", worst_figure(NEW_SERVED), at_least=99),
    Bar("worst small push at most 1000 ms", "attacks", worst_figure(WORST_PUSH_MS), at_most=1000),
    Bar("at most 1024 uploads open for one client", "attacks", worst_figure(UPLOAD_FOLDERS), at_most=1024),
)
