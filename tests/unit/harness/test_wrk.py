"""The parser of wrk's report."""

import pytest

from tests.harness.wrk import parse

REPORT = """\
Running 1s test @ http://127.0.0.1:8080/big
  2 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.60ms  536.90us   5.60ms   86.34%
    Req/Sec     1.52k   343.67     3.01k    95.24%
  Latency Distribution
     50%  760.00us
     75%    2.87ms
     90%    1.25s\x20
     99%    1.50m\x20
  3183 requests in 1.10s, 3.11GB read
  Socket errors: connect 1, read 20, write 300, timeout 4000
  Non-2xx or 3xx responses: 17
Requests/sec:   2895.40
Transfer/sec:      2.00KB
"""


def test_a_report_with_everything() -> None:
    load = parse(REPORT)
    assert (load.requests, load.seconds, load.requests_per_second) == (3183, 1.1, 2895.4)
    assert load.bytes_per_second == 2048
    assert load.latency_seconds == pytest.approx({50: 0.00076, 75: 0.00287, 90: 1.25, 99: 90})
    assert (load.p50_seconds, load.p99_seconds) == (load.latency_seconds[50], load.latency_seconds[99])
    assert (load.socket_errors, load.http_errors) == (4321, 17)


def test_a_report_without_errors_counts_none() -> None:
    text = "".join(line for line in REPORT.splitlines(keepends=True) if "errors" not in line and "Non-2xx" not in line)
    load = parse(text)
    assert (load.socket_errors, load.http_errors) == (0, 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        REPORT.replace("3183 requests", "0 requests"),
        REPORT.replace("%  ", "   "),
        REPORT.replace("Transfer/sec", "Transfer"),
    ],
    ids=["empty", "no answers", "no latencies", "no rate"],
)
def test_a_report_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="wrk's report"):
        parse(text)
