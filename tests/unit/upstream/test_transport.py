"""Limits, circuit breakers, proxies and certificates, over real connections."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
import trustme
from aiohttp import web
from structlog.testing import capture_logs

from mirror.oci import Tag
from mirror.oci.errors import (
    CircuitOpen,
    ConfigurationFault,
    TooManyOpenFiles,
    UpstreamBusy,
    UpstreamFault,
    UpstreamOffline,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamUnreachable,
)
from mirror.runtime import logs
from mirror.runtime.clock import Clock, SystemClock
from mirror.upstream.auth.credentials import Credentials
from mirror.upstream.http import exchange, transport
from mirror.upstream.http.http_proxies import Proxies
from mirror.upstream.http.tls_context import Tls
from mirror.upstream.http.upstream_connections import UpstreamConnections
from mirror.upstream.limits.bandwidth import BandwidthWindow
from mirror.upstream.limits.circuit_breaker import BreakerState, BreakerThresholds
from mirror.upstream.limits.upstream_policy import Timeouts, UpstreamLimits, UpstreamPolicy
from mirror.upstream.registry import UpstreamRegistry
from mirror.wire.rate_limit import RateLimit
from tests.harness.forward_proxy import ForwardProxy
from tests.harness.ports import free_port
from tests.support.clocks import HandClock
from tests.support.scripted_server import Reply, ScriptedServer
from tests.support.waiting import until
from tests.unit.upstream.conftest import QUICK
from tests.unit.upstream.content import BLOB, BLOB_PATH, DESCRIBED, DIGEST, MANIFEST, REPOSITORY, ROOT, TAG, TAG_PATH

GET = f"GET {TAG_PATH}"
HEAD = f"HEAD {TAG_PATH}"
FOUND = Reply(200, MANIFEST, DESCRIBED)
CLOCK = SystemClock()


@asynccontextmanager
async def opened(
    server: ScriptedServer, policy: UpstreamPolicy = QUICK, proxies: Proxies | None = None, clock: Clock = CLOCK
) -> AsyncIterator[UpstreamRegistry]:
    async with UpstreamRegistry.open(
        name="hub", url=server.url, plain_http=True, policy=policy, proxies=proxies or Proxies(), clock=clock
    ) as upstream:
        yield upstream


@pytest.fixture
async def other(no_task_is_left: None) -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer().running() as running:
        yield running


async def read(upstream: UpstreamRegistry) -> bytes:
    async with upstream.open_blob(REPOSITORY, DIGEST) as blob:
        return b"".join([chunk async for chunk in blob])


@pytest.fixture
def verbose_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All loggers at the lowest level. Afterwards logging is configured as before."""
    root, before, configure = logging.getLogger(), structlog.get_config(), structlog.configure
    handlers, level = root.handlers[:], root.level
    named = {name: logging.getLogger(name).level for name in ("asyncio", "aiohttp", "mirror")}
    for name in named:
        logging.getLogger(name).setLevel(logging.DEBUG)
    # A cached logger would keep its configuration in later tests.
    monkeypatch.setattr(
        structlog, "configure", lambda **options: configure(**{**options, "cache_logger_on_first_use": False})
    )
    yield
    configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, earlier in named.items():
        logging.getLogger(name).setLevel(earlier)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses between requests and between pieces of blobs, in seconds. They are recorded, and not made."""
    asked: list[float] = []
    sleep = asyncio.sleep

    async def record(seconds: float) -> None:
        asked.append(seconds)
        await sleep(0)

    watched = SimpleNamespace(**{**vars(asyncio), "sleep": record})
    for module in (transport, exchange):
        monkeypatch.setattr(module, "asyncio", watched)
    return asked


# The circuit breaker


async def test_offline_never_opens_a_connection(server: ScriptedServer) -> None:
    async with opened(server, replace(QUICK, offline=True)) as upstream:
        for action in (upstream.resolve(REPOSITORY, TAG), read(upstream), upstream.begin_upload(REPOSITORY)):
            with pytest.raises(UpstreamOffline, match="hub is configured as offline"):
                await action
        assert upstream.stats().offline
    assert server.connections == 0


async def test_a_lack_of_descriptors_here_is_no_failure_of_the_upstream(server: ScriptedServer) -> None:
    async def none_left(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    server.on(HEAD, Reply(200, b"", DESCRIBED, length=len(MANIFEST)))
    async with opened(server) as upstream:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(UpstreamConnections, "request", none_left)
            for _ in range(20):
                with pytest.raises(TooManyOpenFiles, match=r"cannot connect to 127\.0\.0\.1: too many open files"):
                    await upstream.resolve(REPOSITORY, TAG)
        assert (await upstream.resolve(REPOSITORY, TAG)).size_bytes == len(MANIFEST)


async def test_a_host_that_does_not_answer_costs_one_connect_timeout_and_then_nothing(server: ScriptedServer) -> None:
    """HTTPS to a server without TLS hangs in the handshake, as a connection to a black hole does."""
    policy = replace(QUICK, timeouts=Timeouts(connect_seconds=0.2))
    async with UpstreamRegistry.open(name="hub", url=f"https://127.0.0.1:{server.port}", policy=policy) as upstream:

        async def miss() -> None:
            with pytest.raises(UpstreamUnreachable):
                await upstream.get_manifest(REPOSITORY, TAG)

        await asyncio.gather(*[miss() for _ in range(20)])
        with pytest.raises(CircuitOpen, match=r"no requests to .* since .* no connection within the connect timeout"):
            await upstream.get_manifest(REPOSITORY, TAG)
        await asyncio.gather(*[miss() for _ in range(20)])
    await until(lambda: server.connections >= 20)  # on a loaded machine the server may accept after the timeout
    assert server.connections == 20


async def test_an_upstream_that_comes_back_is_found_by_one_probe() -> None:
    port = free_port()
    policy, clock = replace(QUICK, thresholds=BreakerThresholds(failures=2, rest_seconds=10)), HandClock()
    async with UpstreamRegistry.open(
        name="hub", url=f"http://127.0.0.1:{port}", plain_http=True, policy=policy, clock=clock
    ) as hub:
        with capture_logs() as lines:
            with pytest.raises(UpstreamUnreachable):
                await hub.get_manifest(REPOSITORY, TAG)
            assert hub.stats().hosts[0].breaker is BreakerState.OPEN
            server = ScriptedServer()
            async with server.running(port):
                server.on(GET, FOUND)
                clock.advance(seconds=11)
                results = await asyncio.gather(
                    *[hub.get_manifest(REPOSITORY, TAG) for _ in range(5)], return_exceptions=True
                )
                assert sum(isinstance(result, CircuitOpen) for result in results) == 4
                assert server.lines == [GET]
                await hub.get_manifest(REPOSITORY, TAG)
        assert hub.stats().hosts[0].breaker is BreakerState.CLOSED
    events = [line["event"] for line in lines if line["event"].startswith("upstream")]
    assert [event for event in events if "circuit" in event] == [
        "upstream circuit breaker opened",
        "upstream circuit breaker closed",
    ]


async def test_a_place_for_blobs_that_is_gone_does_not_stop_the_rest(server: ScriptedServer) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    server.on(GET, FOUND)
    server.on(f"GET {BLOB_PATH}", Reply(307, headers={"Location": f"{gone}/b"}))
    policy = replace(QUICK, thresholds=BreakerThresholds(failures=2))
    async with opened(server, policy) as upstream:
        with pytest.raises(UpstreamUnreachable):
            await read(upstream)
        with pytest.raises(CircuitOpen, match=gone):
            await read(upstream)
        await upstream.get_manifest(REPOSITORY, TAG)
        states = {host.host: host.breaker for host in upstream.stats().hosts}
    assert states == {server.url: BreakerState.CLOSED, gone: BreakerState.OPEN}


async def test_a_caller_that_leaves_does_not_leave_the_probe_behind(server: ScriptedServer) -> None:
    policy, clock = replace(QUICK, thresholds=BreakerThresholds(failures=1, rest_seconds=10)), HandClock()
    async with opened(server, policy, clock=clock) as upstream:
        server.on(GET, Reply(503), Reply(200, b"{", DESCRIBED, length=-1, then="stall"), FOUND)
        with pytest.raises(UpstreamFault):
            await upstream.get_manifest(REPOSITORY, TAG)
        clock.advance(seconds=11)
        server.stop_reading = True
        probe = asyncio.ensure_future(upstream.get_manifest(REPOSITORY, TAG))
        await until(lambda: server.unread)
        probe.cancel()
        await asyncio.wait([probe])
        server.stop_reading = False
        server.on(GET, FOUND)
        await upstream.get_manifest(REPOSITORY, TAG)


# Limits


async def test_connections_are_limited_and_a_lookup_passes_beside_transfers(server: ScriptedServer) -> None:
    server.on(f"GET {BLOB_PATH}", Reply(200, BLOB[:10], length=len(BLOB), then="stall"))
    server.on(HEAD, FOUND)
    policy = replace(QUICK, limits=UpstreamLimits(connections=4), timeouts=Timeouts(read_seconds=5))
    async with opened(server, policy) as upstream:
        transfers = [asyncio.ensure_future(read(upstream)) for _ in range(10)]
        await until(lambda: server.connections == 3)
        await upstream.resolve(REPOSITORY, TAG)
        assert server.connections == 4
        for transfer in transfers:
            transfer.cancel()
        await asyncio.gather(*transfers, return_exceptions=True)
        server.on(f"GET {BLOB_PATH}", Reply(200, BLOB))
        assert await asyncio.gather(*[read(upstream) for _ in range(10)]) == [BLOB] * 10


async def test_every_way_to_end_gives_the_connection_back(server: ScriptedServer) -> None:
    server.on(GET, FOUND)
    server.on(HEAD, Reply(404))
    server.on(f"GET {ROOT}/manifests/cut", Reply(200, b"{", DESCRIBED, length=10, then="cut"))
    server.on(f"GET {ROOT}/manifests/circle", Reply(307, headers={"Location": f"{ROOT}/manifests/circle"}))
    server.on(f"GET {ROOT}/manifests/denied", Reply(401, headers={"WWW-Authenticate": 'Basic realm="x"'}))
    server.on(f"GET {ROOT}/manifests/token", Reply(401, headers={"WWW-Authenticate": 'Bearer realm="ftp://x"'}))
    server.on(f"GET {BLOB_PATH}", Reply(200, BLOB[:10], length=len(BLOB), then="cut"))
    async with opened(server, replace(QUICK, limits=UpstreamLimits(connections=2))) as upstream:

        async def one(action: Callable[[], Awaitable[object]]) -> None:
            with pytest.raises(Exception, match="upstream hub"):
                await action()

        for _ in range(3):
            for tag in ("cut", "circle", "denied", "token"):
                await one(lambda tag=tag: upstream.get_manifest(REPOSITORY, Tag(tag)))  # type: ignore[misc]
            await one(lambda: read(upstream))
        async with asyncio.timeout(30):
            await upstream.get_manifest(REPOSITORY, TAG)
            await upstream.get_manifest(REPOSITORY, TAG)


async def test_requests_a_second(server: ScriptedServer, pauses: list[float]) -> None:
    server.on(HEAD, FOUND)
    policy = replace(QUICK, limits=UpstreamLimits(requests_per_second=10))
    async with opened(server, policy, clock=HandClock()) as upstream:
        await asyncio.gather(*[upstream.resolve(REPOSITORY, TAG) for _ in range(15)])
        assert upstream.stats().paced_seconds == pytest.approx(0.1 + 0.2 + 0.3 + 0.4 + 0.5)
    assert sorted(pauses)[-5:] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


async def test_bytes_a_second(server: ScriptedServer, pauses: list[float]) -> None:
    server.on(f"GET {BLOB_PATH}", Reply(200, BLOB))
    server.on(GET, FOUND)
    limits = UpstreamLimits(bandwidth=(BandwidthWindow(2 * len(BLOB)),))
    async with opened(server, replace(QUICK, limits=limits), clock=HandClock()) as upstream:
        await asyncio.gather(*[read(upstream) for _ in range(4)])
        assert upstream.stats().received_bytes == 4 * len(BLOB)
        paced_seconds = upstream.stats().paced_seconds
        await upstream.get_manifest(REPOSITORY, TAG)
        assert upstream.stats().paced_seconds == paced_seconds, "short answers do not wait"
    # Four blobs take two seconds, the first of which may pass at once.
    assert max(pauses) == pytest.approx(1)


async def test_two_upstreams_with_one_folder_share_a_limit(
    server: ScriptedServer, tmp_path: Path, pauses: list[float]
) -> None:
    server.on(HEAD, FOUND)
    policy, clock = replace(QUICK, limits=UpstreamLimits(requests_per_second=5, shared_folder=tmp_path)), HandClock()
    async with opened(server, policy, clock=clock) as one, opened(server, policy, clock=clock) as another:
        await asyncio.gather(*[each.resolve(REPOSITORY, TAG) for each in (one, another) for _ in range(5)])
    # Ten requests take two seconds, the first of which may pass at once.
    assert max(pauses) == pytest.approx(1)


async def test_an_upstream_that_wants_to_be_left_alone_is(server: ScriptedServer) -> None:
    server.on(GET, Reply(429, headers={"Retry-After": "30"}))
    server.on(HEAD, FOUND)
    async with opened(server) as upstream:
        with pytest.raises(UpstreamBusy, match="answered 429"):
            await upstream.get_manifest(REPOSITORY, TAG)
        with pytest.raises(UpstreamBusy, match="the upstream requested a pause, 30 s are left") as raised:
            await upstream.resolve(REPOSITORY, TAG)
        assert 29 < upstream.stats().rest_seconds <= 30
    assert float(raised.value.detail["retry_after_seconds"]) > 29
    assert server.lines == [GET]


async def test_a_quota_that_is_spent_stops_what_it_counts_and_nothing_else(server: ScriptedServer) -> None:
    quota = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "0;w=21600", "docker-ratelimit-source": "1"}
    server.on(GET, Reply(200, MANIFEST, {**DESCRIBED, **quota}))
    server.on(HEAD, FOUND)
    server.on(f"GET {BLOB_PATH}", Reply(200, BLOB))
    async with opened(server) as upstream:
        await upstream.get_manifest(REPOSITORY, TAG)
        with pytest.raises(UpstreamBusy, match="the upstream requested a pause, 216 s are left"):
            await upstream.get_manifest(REPOSITORY, TAG)
        await upstream.resolve(REPOSITORY, TAG)
        assert await read(upstream) == BLOB
        assert upstream.stats().quota == RateLimit(100, 0, 21600)
    assert server.lines == [GET, HEAD, f"GET {BLOB_PATH}"]


# Tokens and secrets


async def test_many_requests_for_one_scope_ask_for_one_token(server: ScriptedServer, other: ScriptedServer) -> None:
    server.on(GET, *[Reply(401, headers={"WWW-Authenticate": f'Bearer realm="{other.url}/token"'})] * 20, FOUND)
    other.on(f"GET /token?scope=repository:{REPOSITORY}:pull", Reply(200, b'{"token": "abc"}'))
    async with opened(server) as upstream:
        await asyncio.gather(*[upstream.get_manifest(REPOSITORY, TAG) for _ in range(20)])
        assert upstream.stats().tokens == 1
    assert len(other.seen) == 1


@pytest.mark.usefixtures("verbose_logging")
async def test_secrets_are_never_logged(
    server: ScriptedServer, other: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """All loggers are at the lowest level, and every request fails in some way."""
    server.on(
        GET,
        Reply(401, headers={"WWW-Authenticate": f'Bearer realm="{other.url}/token"'}),
        Reply(503),
        FOUND,
        Reply(401, b"give s3cret-token back", {"WWW-Authenticate": 'Basic realm="x"'}),
    )
    other.on("POST /token", Reply(404))
    token = b'{"token": "bearer-t0ken", "refresh_token": "refresh-t0ken", "expires_in": 300}'
    other.on(f"GET /token?scope=repository:{REPOSITORY}:pull&account=jimmy", Reply(200, token))
    server.on(f"GET {BLOB_PATH}", Reply(307, headers={"Location": f"{other.url}/b?X-Sig=signature"}))
    other.on("GET /b?X-Sig=signature", Reply(500))
    with logs.configured("debug", "json"):
        async with UpstreamRegistry.open(
            name="hub", url=server.url, plain_http=True, login=Credentials("jimmy", "passw0rd"), policy=QUICK
        ) as upstream:
            await upstream.get_manifest(REPOSITORY, TAG)
            for action in (upstream.get_manifest(REPOSITORY, TAG), read(upstream)):
                with pytest.raises((UpstreamRefused, UpstreamBusy)) as raised:
                    await action
                logging.getLogger("mirror").error("failed", exc_info=raised.value)
            logging.getLogger("mirror").info("state %r", upstream.stats())
    captured = capsys.readouterr()
    told = captured.err + captured.out
    assert "upstream answered" in told
    assert "upstream request failed, trying again" in told
    assert "stamina.retry" not in told
    for secret in ("passw0rd", 't0ken"', "bearer-t0ken", "refresh-t0ken", "signature", "amltbXk6cGFzc3cwcmQ"):
        assert secret not in told


# Proxies and certificates


@asynccontextmanager
async def https(
    ca: trustme.CA, names: list[str], *, client_ca: trustme.CA | None = None, **options: Any
) -> AsyncIterator[int]:
    """A server that holds the manifest and answers with the client certificate that it saw.

    Without names, its certificate is that of the authority itself. `options` are those of `trustme.CA.issue_cert`.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if names:
        ca.issue_cert(*names, **options).configure_cert(context)
    else:
        with trustme.Blob(ca.private_key_pem.bytes() + ca.cert_pem.bytes()).tempfile() as file:
            context.load_cert_chain(file)
    if client_ca is not None:
        client_ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=MANIFEST, headers=DESCRIBED)

    application = web.Application()
    application.router.add_get(TAG_PATH, answer)
    runner = web.AppRunner(application, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def written(folder: Path, name: str, *blobs: trustme.Blob) -> Path:
    path = folder / name
    path.write_bytes(b"".join(blob.bytes() for blob in blobs))
    return path


async def get(port: int, tls: Tls, host: str = "127.0.0.1", proxies: Proxies | None = None) -> bytes:
    async with UpstreamRegistry.open(
        name="hub", url=f"https://{host}:{port}", tls=tls, policy=QUICK, proxies=proxies or Proxies()
    ) as upstream:
        return (await upstream.get_manifest(REPOSITORY, TAG)).content


async def test_a_private_authority(tmp_path: Path) -> None:
    ours, theirs = trustme.CA(), trustme.CA()
    ca_file = written(tmp_path, "ca.pem", ours.cert_pem)
    async with https(ours, ["127.0.0.1"]) as port, https(theirs, ["127.0.0.1"]) as other_port:
        assert await get(port, Tls(ca_file)) == MANIFEST
        with (
            capture_logs() as lines,
            pytest.raises(UpstreamProtocolError, match=r"certificate is not trusted: .*; fix: let this machine trust"),
        ):
            await get(port, Tls())
        assert not [line for line in lines if line["event"] == "upstream broke the protocol"]
        with pytest.raises(UpstreamProtocolError, match="certificate is not trusted"):
            await get(other_port, Tls(ca_file))


LAST_WEEK, NEXT_WEEK = (datetime.now(UTC) + timedelta(days=days) for days in (-7, 7))
TRUST_IT = "let this machine trust its authority, or name the file of the authority in upstreams.hub.tls.ca_file"


@pytest.mark.parametrize(
    ("names", "host", "options", "why", "fix"),
    [
        (["other.example"], "127.0.0.1", {}, "it is for another address than 127.0.0.1", "use an address that"),
        (["other.example"], "localhost", {}, "it is for another name than localhost", "use a name that"),
        (["localhost"], "localhost", {"not_before": NEXT_WEEK}, "it is not valid yet", "set the clock"),
        (["localhost"], "localhost", {"not_after": LAST_WEEK}, "it has expired", "renew the certificate there"),
        ([], "localhost", {}, "it is self-signed", TRUST_IT),
        (["localhost"], "localhost", {"of": "others"}, "its authority is unknown here", TRUST_IT),
    ],
)
async def test_the_reason_why_a_certificate_is_not_trusted(
    names: list[str], host: str, options: dict[str, Any], why: str, fix: str, tmp_path: Path
) -> None:
    ca, others = trustme.CA(), trustme.CA()
    trusted = others if not names or options.pop("of", "") else ca
    tls = Tls(written(tmp_path, "ca.pem", trusted.cert_pem), ca_setting="upstreams.hub.tls.ca_file")
    async with https(ca, names, **options) as port:
        with pytest.raises(UpstreamProtocolError) as caught:
            await get(port, tls, host)
    told, _, helps = str(caught.value).partition("; fix: ")
    assert told.endswith(f"its certificate is not trusted: {why}")
    assert helps.startswith(fix)


async def test_a_client_certificate(tmp_path: Path) -> None:
    ca, clients = trustme.CA(), trustme.CA()
    mine = clients.issue_cert("mirror.example")
    ca_file = written(tmp_path, "ca.pem", ca.cert_pem)
    chain = written(tmp_path, "mine.pem", *mine.cert_chain_pems)
    key = written(tmp_path, "mine.key", mine.private_key_pem)
    async with https(ca, ["127.0.0.1"], client_ca=clients) as port:
        assert await get(port, Tls(ca_file, chain, key)) == MANIFEST
        with pytest.raises(UpstreamFault):
            await get(port, Tls(ca_file))


async def test_a_client_certificate_that_is_renewed(tmp_path: Path) -> None:
    ca, old_clients, clients = trustme.CA(), trustme.CA(), trustme.CA()
    ca_file = written(tmp_path, "ca.pem", ca.cert_pem)
    tls = Tls(ca_file, tmp_path / "mine.pem", tmp_path / "mine.key")

    def write(certificate: trustme.LeafCert) -> None:
        written(tmp_path, "mine.pem", *certificate.cert_chain_pems)
        written(tmp_path, "mine.key", certificate.private_key_pem)

    write(old_clients.issue_cert("mirror.example"))
    clock = HandClock()
    async with https(ca, ["127.0.0.1"], client_ca=clients) as port:
        url = f"https://127.0.0.1:{port}"
        async with UpstreamRegistry.open(name="hub", url=url, tls=tls, policy=QUICK, clock=clock) as upstream:
            with pytest.raises(UpstreamFault):
                await upstream.get_manifest(REPOSITORY, TAG)
            write(clients.issue_cert("mirror.example"))
            clock.advance(seconds=60)
            assert (await upstream.get_manifest(REPOSITORY, TAG)).content == MANIFEST
            (tmp_path / "mine.key").write_text("half of a k")
            clock.advance(seconds=60)
            assert (await upstream.get_manifest(REPOSITORY, TAG)).content == MANIFEST


async def test_a_client_certificate_is_not_shown_to_other_hosts(tmp_path: Path) -> None:
    ca, clients = trustme.CA(), trustme.CA()
    mine = clients.issue_cert("mirror.example")
    tls = Tls(
        written(tmp_path, "ca.pem", ca.cert_pem),
        written(tmp_path, "mine.pem", mine.private_key_and_cert_chain_pem),
    )
    async with https(ca, ["127.0.0.1"], client_ca=clients) as elsewhere:
        own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ca.issue_cert("127.0.0.1").configure_cert(own)

        async def redirect(request: web.Request) -> web.Response:
            return web.Response(status=307, headers={"Location": f"https://127.0.0.1:{elsewhere}{TAG_PATH}"})

        application = web.Application()
        application.router.add_get(TAG_PATH, redirect)
        runner = web.AppRunner(application, handle_signals=False)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=own).start()
        try:
            with pytest.raises(UpstreamFault, match=f"127.0.0.1:{elsewhere}"):
                await get(runner.addresses[0][1], tls)
        finally:
            await runner.cleanup()


@pytest.mark.parametrize("which", ["ca_file", "certificate_file", "key_file"])
async def test_certificates_that_cannot_be_used(tmp_path: Path, which: str) -> None:
    mine = trustme.CA().issue_cert("mirror.example")
    good = Tls(
        None, written(tmp_path, "mine.pem", *mine.cert_chain_pems), written(tmp_path, "key", mine.private_key_pem)
    )
    garbage = tmp_path / "garbage"
    garbage.write_text("no PEM")
    for bad in (garbage, tmp_path / "absent"):
        with pytest.raises(ConfigurationFault, match="cannot be used"):
            await get(1, replace(good, **{which: bad}))


@pytest.mark.parametrize("kind", ["http", "socks5", "socks5h"])
@pytest.mark.parametrize("login", [None, "jimmy:passw0rd"])
async def test_through_a_proxy(tmp_path: Path, kind: str, login: str | None) -> None:
    ca = trustme.CA()
    tls = Tls(written(tmp_path, "ca.pem", ca.cert_pem))
    proxy = ForwardProxy(login=login)
    async with https(ca, ["hub.example"]) as port, proxy.http() if kind == "http" else proxy.socks():
        user = f"{login}@" if login else ""
        way = Proxies(f"{kind}://{user}127.0.0.1:{proxy.port}")
        assert await get(port, tls, "hub.example", way) == MANIFEST
    assert proxy.passed == [f"hub.example:{port}"]


async def test_plain_http_through_a_proxy_of_the_environment(server: ScriptedServer) -> None:
    server.on(GET, FOUND)
    async with ForwardProxy().http() as proxy:
        environment = {"HTTP_PROXY": f"http://127.0.0.1:{proxy.port}"}
        url = f"http://hub.example:{server.port}"
        async with UpstreamRegistry.open(
            name="hub", url=url, plain_http=True, policy=QUICK, proxies=Proxies(environment=environment)
        ) as upstream:
            await upstream.get_manifest(REPOSITORY, TAG)
    assert proxy.passed == [f"hub.example:{server.port}"]
    assert server.seen[0].headers["Host"] == f"hub.example:{server.port}"


@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_a_proxy_that_refuses_or_is_gone(kind: str) -> None:
    proxy = ForwardProxy(login="jimmy:passw0rd")
    async with proxy.http() if kind == "http" else proxy.socks():
        with pytest.raises(UpstreamUnreachable, match="proxy") as raised:
            await get(443, Tls(), "hub.example", Proxies(f"{kind}://jimmy:wr0ng@127.0.0.1:{proxy.port}"))
        assert "wr0ng" not in str(raised.value)
    with pytest.raises(UpstreamUnreachable, match="proxy"):
        await get(443, Tls(), "hub.example", Proxies(f"{kind}://127.0.0.1:{free_port()}"))


async def test_even_through_a_proxy_no_redirect_leads_to_metadata(server: ScriptedServer) -> None:
    server.on(GET, Reply(307, headers={"Location": "http://169.254.169.254/latest/meta-data/"}))
    async with (
        ForwardProxy().http() as proxy,
        opened(server, proxies=Proxies(f"http://127.0.0.1:{proxy.port}")) as upstream,
    ):
        with pytest.raises(UpstreamProtocolError, match="a link-local address"):
            await upstream.get_manifest(REPOSITORY, TAG)
    assert proxy.passed == [f"127.0.0.1:{server.port}"]


async def test_the_environment_is_not_asked_for_logins(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login jimmy password passw0rd\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.on(GET, FOUND)
    async with opened(server, proxies=Proxies(environment=os.environ)) as upstream:
        await upstream.get_manifest(REPOSITORY, TAG)
    assert "Authorization" not in server.seen[0].headers
