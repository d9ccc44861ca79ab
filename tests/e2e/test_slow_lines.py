"""Clients and upstreams on thin lines: who is slow but steady is never ended, who takes nothing is.

With ``--matrix``, lines are thin for three minutes with the default limits. Otherwise the limits are a few seconds, so
that a wrong rule shows within ten seconds.
"""

import random
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import product
from typing import Any
from urllib.parse import urljoin

import pytest
import trustme

from tests.harness import bad_line
from tests.harness.bad_line import in_own_network, losing
from tests.harness.docker_registry import DockerRegistry
from tests.harness.mirror import Mirror
from tests.harness.nginx import Nginx
from tests.harness.packing import digest_of, packed_from
from tests.harness.ports import free_port
from tests.harness.pulling import MIB, manifest
from tests.harness.pushing import push, push_blob, send
from tests.harness.readiness import wait_until
from tests.harness.requirement import require
from tests.harness.slow_line import CURL_TIMED_OUT, SlowLine
from tests.harness.tls_files import TlsFiles

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]

NAME = "contiv/v2plugin"
RATES = [4 * 1024, 16 * 1024, 64 * 1024, 256 * 1024]
#: Sizes of the clients' buffers: as small as possible, and as the kernel likes.
BUFFERS = [4096, 0]
# Larger than all buffers between the mirror and a client, so that the mirror has to wait for the client. Those of the
# kernel grow with what a client has read, which is less in a short time.
SHORT_LAYER = random.Random(1).randbytes(12 * MIB)
LONG_LAYER = random.Random(1).randbytes(32 * MIB)


@pytest.fixture(scope="module")
def seconds(whole: bool) -> float:
    return 180.0 if whole else 10.0


@pytest.fixture(scope="module")
def layer(whole: bool) -> bytes:
    return LONG_LAYER if whole else SHORT_LAYER


@pytest.fixture(scope="module")
def limits(whole: bool) -> Mapping[str, Any]:
    return {} if whole else {"idle_seconds": 4, "keep_alive_seconds": 4}


@pytest.fixture(scope="module")
def plain() -> str:
    """Address of the mirror without TLS."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def mirror(limits: Mapping[str, Any], plain: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    tls = TlsFiles(tmp_path_factory.mktemp("tls"), trustme.CA().issue_cert("127.0.0.1")).section
    with Mirror(workers=2, sections={"server": {"limits": limits, "tls": tls, "plain": {"listen": plain}}}) as mirror:
        yield mirror


@pytest.fixture(scope="module")
def ways(mirror: Mirror, plain: str) -> Iterator[dict[str, str]]:
    """URLs of the mirror: direct, over TLS, and through an nginx with and without buffering."""
    require(Nginx.missing())
    # By default, nginx ends a client if it could write nothing for 60 s, also one that reads slowly.
    url, patient = f"http://{plain}", "send_timeout 15m;"
    with (
        Nginx.front(url, directives=patient) as buffering,
        Nginx.front(url, directives=f"{patient} proxy_buffering off;") as passing,
    ):
        yield {"direct": url, "tls": mirror.url, "nginx": buffering.url, "nginx without buffers": passing.url}


def at_once(works: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Do all works at the same time. Return the result of each one, or its exception."""

    def tried(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except (OSError, EOFError) as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        doing = {name: pool.submit(tried, work) for name, work in works.items()}
        return {name: each.result() for name, each in doing.items()}


def test_steady_readers_get_their_whole_layer(
    mirror: Mirror, ways: Mapping[str, str], seconds: float, layer: bytes
) -> None:
    push_blob(f"{ways['direct']}/v2/{NAME}", layer)
    digest = digest_of(layer)
    urls = {way: f"{url}/v2/{NAME}/blobs/{digest}" for way, url in ways.items()}
    readers = {
        f"{rate} bytes/s, buffer of {buffer} bytes, {way}": partial(SlowLine(rate, seconds, buffer).read, url)
        for (way, url), rate, buffer in product(urls.items(), RATES, BUFFERS)
    }
    curls = {
        f"curl, {rate} bytes/s, {way}": partial(SlowLine(rate, seconds).curl, url)
        for (way, url), rate in product(urls.items(), RATES)
    }
    results = at_once(readers | curls)

    assert given_up(mirror) == []
    assert {name: results[name] for name in readers} == dict.fromkeys(readers, digest)
    # curl read everything, or was ended by its own limit. A reset has another code.
    assert {name: results[name][0] for name in curls if results[name][0] not in {0, CURL_TIMED_OUT}} == {}
    assert all(layer.startswith(results[name][1]) for name in curls)


def test_steady_senders_are_heard_to_the_end(mirror: Mirror, ways: Mapping[str, str], seconds: float) -> None:
    repository = f"{ways['direct']}/v2/{NAME}"

    def begin() -> str:
        """Begin an upload, and return its URL at the mirror."""
        uploads = f"{repository}/blobs/uploads/"
        return urljoin(uploads, send("POST", uploads, b"")["Location"])

    def sent(line: SlowLine, way: str, number: int) -> bool:
        """Upload a blob to the mirror, and return True if the mirror has the whole blob."""
        content, location = random.Random(number).randbytes(line.size_bytes), begin()
        status = line.send(location.replace(ways["direct"], way), content)
        assert status == 202, status
        send("PUT", f"{location}?digest={digest_of(content)}", b"")
        stored = send("HEAD", f"{repository}/blobs/{digest_of(content)}")
        return stored["Content-Length"] == str(len(content))

    def curled(line: SlowLine, way: str, number: int) -> int:
        return line.curl("--upload-file", "/dev/zero", "--request", "PATCH", begin().replace(ways["direct"], way))[0]

    works = {
        f"{rate} bytes/s, buffer of {buffer} bytes, {way}": partial(sent, SlowLine(rate, seconds, buffer), url, number)
        for number, ((way, url), rate, buffer) in enumerate(product(ways.items(), RATES, BUFFERS))
    }
    curls = {
        f"curl, {rate} bytes/s, {way}": partial(curled, SlowLine(rate, seconds), url, 0)
        for (way, url), rate in product(ways.items(), RATES)
    }
    results = at_once(works | curls)
    assert {name: results[name] for name in works} == dict.fromkeys(works, True)
    assert {name: results[name] for name in curls if results[name] not in {0, CURL_TIMED_OUT}} == {}


def test_a_steady_upstream_is_waited_for_and_a_steady_client_does_not_delay_the_download(
    seconds: float, limits: Mapping[str, Any], layer: bytes
) -> None:
    """Four upstreams send at four rates. Their clients read as they like, and one client of a fast upstream is slow."""
    require(DockerRegistry.missing(), Nginx.missing())
    with ExitStack() as stack:
        registry = stack.enter_context(DockerRegistry())
        configured: dict[str, Any] = {
            "server": {"plugin_checks": "off", "limits": limits},
            "upstreams": {},
            "proxy": [],
        }
        works: dict[str, Callable[[], Any]] = {}
        digests: dict[str, str] = {}
        rates = {f"hub{rate}": rate for rate in RATES} | {"fast": 0}
        packed = {
            hub: packed_from(b"{}", random.Random(hub).randbytes(int(rate * seconds) or len(layer)))
            for hub, rate in rates.items()
        }
        for hub, rate in rates.items():
            push(packed[hub], registry.url, hub, "latest")
            front = stack.enter_context(Nginx.front(registry.url, limit_rate_bytes_per_second=rate))
            read_timeout = {"read_timeout_seconds": limits.get("idle_seconds", 60)}
            configured["upstreams"][hub] = {"url": front.url, "plain_http": True} | read_timeout
            configured["proxy"].append({"from": f"{hub}/**", "to": f"{hub}/**"})
        mirror = stack.enter_context(Mirror(sections=configured))
        for hub in rates:
            assert manifest(mirror.url, f"{hub}/{hub}", "latest")[0] == 200
            line = SlowLine(4096, seconds, 4096) if hub == "fast" else SlowLine(MIB, 0)
            digests[hub] = packed[hub].layer_digest
            works[hub] = partial(line.read, f"{mirror.url}/v2/{hub}/{hub}/blobs/{digests[hub]}")
        assert at_once(works) == digests


def given_up(mirror: Mirror) -> list[str]:
    return [line["reason"] for line in mirror.log if line["event"] == "download given up"]


def test_a_client_that_takes_nothing_is_ended_and_the_log_says_so() -> None:
    with Mirror(sections={"server": {"limits": {"idle_seconds": 1}}}) as mirror:
        push_blob(f"{mirror.url}/v2/{NAME}", SHORT_LAYER)
        with asking(mirror):
            wait_until(lambda: bool(given_up(mirror)), "the end of the download")
        assert given_up(mirror) == ["the client took no data for 1 s or longer"]


def test_a_client_whose_line_is_cut_is_ended_and_the_log_says_so() -> None:
    require(bad_line.missing())
    if why := bad_line.impossible():  # skipped even with CI=true, since no package can fix this
        pytest.skip(why)

    def work() -> list[str]:
        with Mirror(sections={"server": {"limits": {"idle_seconds": 2}}}) as mirror:
            push_blob(f"{mirror.url}/v2/{NAME}", SHORT_LAYER)
            with asking(mirror) as client:
                client.recv(1024)
                with losing(mirror.port, share=1):
                    wait_until(lambda: bool(given_up(mirror)), "the end of the download")
            return given_up(mirror)

    assert in_own_network(work) == ["the client was not reachable for 2 s"]


@contextmanager
def asking(mirror: Mirror) -> Iterator[socket.socket]:
    """Open a connection that has asked for the layer, with a small receive buffer."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", mirror.port))
        client.sendall(f"GET /v2/{NAME}/blobs/{digest_of(SHORT_LAYER)} HTTP/1.1\r\nHost: mirror\r\n\r\n".encode())
        yield client
