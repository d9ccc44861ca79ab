"""Run the load generator wrk and parse its report."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness.command import run

PROGRAM = "wrk"

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}


@dataclass(frozen=True, slots=True)
class Load:
    """Result of a wrk run. wrk rounds latencies and byte counts to two decimals of the printed unit."""

    requests: int
    seconds: float
    requests_per_second: float
    bytes_per_second: float
    latency_seconds: Mapping[int, float]
    """Latencies in seconds by percentile: 50, 75, 90 and 99."""
    socket_errors: int
    """Failed connects, reads and writes, and responses that took longer than the timeout."""
    http_errors: int
    """Responses with status 400 or above. wrk counts redirects as successes."""

    @property
    def p50_seconds(self) -> float:
        """Median latency in seconds."""
        return self.latency_seconds[50]

    @property
    def p99_seconds(self) -> float:
        """99th percentile of the latency in seconds."""
        return self.latency_seconds[99]


def missing() -> str | None:
    """Return a sentence that names the missing package, or None if wrk is installed."""
    return None if shutil.which(PROGRAM) else "wrk is not installed (Debian: apt-get install wrk)"


def load(
    url: str,
    *,
    connections: int,
    threads: int,
    seconds: int,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: int = 2,
    script: Path | None = None,
    script_arguments: Sequence[str] = (),
) -> Load:
    """Request `url` repeatedly on keep-alive connections and return the result.

    wrk cannot measure HEAD, since it waits for the body that Content-Length announces.

    Args:
        url: URL to request.
        connections: Number of connections.
        threads: Number of threads, at most `connections`.
        seconds: Duration of the run.
        headers: Request headers.
        timeout_seconds: Time after which a response counts as a socket error, too.
        script: Lua script that makes other requests than GET of `url`.
        script_arguments: Arguments for the `init` function of the script.

    Raises:
        CommandFailedError: If the server refuses connections.
        ValueError: If no response was complete in time.
    """
    argv = [PROGRAM, "--latency", f"-c{connections}", f"-t{threads}", f"-d{seconds}s", f"--timeout={timeout_seconds}s"]
    for name, value in (headers or {}).items():
        argv += ["-H", f"{name}: {value}"]
    if script:
        argv += ["-s", str(script)]
    argv.append(url)
    if script_arguments:
        argv += ["--", *script_arguments]
    return parse(run(argv, timeout_seconds=seconds + 30).stdout)


def parse(text: str) -> Load:
    """Parse the report of `wrk --latency`.

    Raises:
        ValueError: If `text` is not a report, or if there were no responses. wrk reports a latency of 0 then.
    """
    total, seconds, _ = _found(r"(\d+) requests in ([\d.]+\w+), ([\d.]+\w+) read", text)
    percentiles = re.findall(r"(?m)^ +(\d+)% +([\d.]+\w+) ?$", text)
    failed = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    if int(total) == 0 or not percentiles:
        raise ValueError(f"no latencies in wrk's report:\n{text}")
    return Load(
        requests=int(total),
        seconds=_scaled(seconds, _SECONDS),
        requests_per_second=float(_found(r"Requests/sec: +([\d.]+)", text)[0]),
        bytes_per_second=_scaled(_found(r"Transfer/sec: +([\d.]+\w+)", text)[0], _BYTES),
        latency_seconds={int(percentile): _scaled(value, _SECONDS) for percentile, value in percentiles},
        socket_errors=sum(map(int, failed.groups())) if failed else 0,
        http_errors=int(refused[1]) if refused else 0,
    )


def _found(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"wrk's report has no {pattern!r}:\n{text}")
    return match.groups()


def _scaled(text: str, units: Mapping[str, float]) -> float:
    number, unit = _found(r"^([\d.]+)([A-Za-z]+)$", text)
    return float(number) * units[unit]
