"""Limits on the connections of a client, and the answer to clients above the limit."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from mirror.server.forwarded import ForwardedHeaders, TrustedProxies
from mirror.server.http.connection_limits import ConnectionDecision, ConnectionLimits
from mirror.server.http.refusal_log import RefusalLog
from mirror.server.http.server_limits import ServerLimits
from tests.support.served import LAYER, Served, served
from tests.support.waiting import until

SETTING = "server.limits.connections_per_client"


def connections(most: int, per_client: int, surplus: int = 128) -> ConnectionLimits:
    limits = ServerLimits(connections=most, connections_per_client=per_client, surplus_connections=surplus)
    return ConnectionLimits(limits, RefusalLog(SETTING))


def test_each_client_has_its_share_and_all_have_the_whole() -> None:
    counted = connections(most=3, per_client=2)
    welcomes = [counted.arrived(client) for client in "aaabb"]
    served, enough, full = ConnectionDecision.SERVED, ConnectionDecision.CLIENT_HAS_ENOUGH, ConnectionDecision.FULL
    assert welcomes == [served, served, enough, served, full]
    assert (counted.count, counted.refused) == (5, 1)
    counted.left("a", enough)
    counted.left("a", served)
    assert [counted.arrived(client) for client in "ca"] == [served, full]


def test_whom_nobody_knows_is_counted_in_all_alone() -> None:
    counted = connections(most=3, per_client=1)
    assert [counted.arrived("") for _ in range(4)] == [ConnectionDecision.SERVED] * 3 + [ConnectionDecision.FULL]


@pytest.mark.parametrize("client", ["a", "b"])
def test_so_many_are_told_and_the_rest_just_end(client: str) -> None:
    counted = connections(most=1, per_client=1, surplus=2)
    assert counted.arrived("a") is ConnectionDecision.SERVED
    welcomes = [counted.arrived(client) for _ in range(4)]
    assert ConnectionDecision.ENDED not in welcomes[:2]
    assert welcomes[2:] == [ConnectionDecision.ENDED] * 2
    counted.left(client, welcomes[0])
    assert counted.arrived(client) is not ConnectionDecision.ENDED


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=60))
def test_whatever_comes_and_goes_no_limit_is_passed(steps: list[tuple[str, bool]]) -> None:
    counted, here = connections(most=5, per_client=3), list[tuple[str, ConnectionDecision]]()
    for client, arrives in steps:
        if not arrives and here:
            counted.left(*here.pop(0))
        elif (welcome := counted.arrived(client)) is not ConnectionDecision.ENDED:
            here.append((client, welcome))
        served = [client for client, welcome in here if welcome is ConnectionDecision.SERVED]
        assert counted.count == len(here)
        assert len(served) <= 5
        assert all(served.count(client) <= 3 for client in served)
    for left in here:
        counted.left(*left)
    assert counted.count == 0
    assert [counted.arrived("a") for _ in range(4)] == [ConnectionDecision.SERVED] * 3 + [
        ConnectionDecision.CLIENT_HAS_ENOUGH
    ]


def test_a_flood_of_refusals_is_one_line_a_minute() -> None:
    now = [0.0]
    refusals = RefusalLog(SETTING, lambda: now[0])
    with capture_logs() as lines:
        for second in range(125):
            now[0] = float(second)
            refusals.add(f"client {second}")
    assert refusals.count == 125
    assert [(line["client"], line["count"]) for line in lines] == [
        ("client 0", 1),
        ("client 60", 60),
        ("client 120", 60),
    ]
    assert {(line["event"], line["limit"]) for line in lines} == {("client refused", SETTING)}


async def test_a_client_with_too_many_connections_is_told_so_and_others_are_served() -> None:
    with capture_logs() as lines:
        async with served(limits=ServerLimits(connections_per_client=2)) as server, AsyncExitStack() as held:
            for _ in range(2):
                connection = await held.enter_async_context(server.connect())
                await connection.send("GET", "/v2/")
                assert (await connection.receive()).status == 200
            async with server.connect() as third:
                await third.send("PUT", "/v2/a/manifests/1", [("Expect", "100-continue"), ("Content-Length", "1")])
                refused = await third.receive()
            assert (refused.status, refused.code, refused.headers["Retry-After"]) == (429, "TOOMANYREQUESTS", "1")
            assert refused.headers["Connection"] == "close"
            assert SETTING in refused.json["errors"][0]["message"]
            assert server.activity.crowding.count == 1
            async with server.connect("127.0.0.2") as other:
                await other.send("GET", "/v2/")
                assert (await other.receive()).status == 200
            connection.writer.transport.abort()
            await until(lambda: server.activity.connections.count <= 1)
            assert (await server.ask("GET", "/v2/")).status == 200
    assert [line["client"] for line in lines if line["event"] == "client refused"] == ["127.0.0.1"]


def forwarded(client: str) -> tuple[str, str]:
    return ("X-Forwarded-For", f"203.0.113.9, {client}")


async def under_way(server: Served, count: int) -> None:
    await until(lambda: server.activity.requests.count == count)


async def test_behind_a_proxy_the_requests_of_a_client_are_counted_and_not_the_connections() -> None:
    limits = ServerLimits(connections_per_client=2)
    async with (
        served(limits=limits, forwarded=ForwardedHeaders(proxies=TrustedProxies(everyone=True))) as server,
        AsyncExitStack() as held,
    ):
        clients = []
        for number in range(2):
            location = await server.begin_upload()
            connection = await held.enter_async_context(server.connect())
            await connection.send("PATCH", location, [forwarded("2001:db8::1"), ("Content-Length", "100")])
            await under_way(server, number + 1)
            clients.append(connection)
        refused = await server.ask("GET", "/v2/", [forwarded("2001:db8::2")])  # the same /64
        assert (refused.status, refused.code) == (429, "TOOMANYREQUESTS")
        assert SETTING in refused.json["errors"][0]["message"]
        assert (await server.ask("GET", "/v2/", [forwarded("2001:db8:0:1::1")])).status == 200
        assert server.activity.crowding.count == 1
        for connection in clients:
            connection.writer.transport.abort()
        await under_way(server, 0)


async def test_behind_a_proxy_uploads_are_counted_for_the_client() -> None:
    limits = ServerLimits(uploads_per_client=1)
    async with (
        served(limits=limits, forwarded=ForwardedHeaders(proxies=TrustedProxies(everyone=True))) as server,
        server.connect() as sender,
    ):
        await sender.send(
            "PATCH", await server.begin_upload(), [forwarded("192.0.2.1"), ("Content-Length", str(len(LAYER)))]
        )
        await until(lambda: server.activity.uploading.count)
        location = await server.begin_upload()
        assert (await server.ask("PATCH", location, [forwarded("192.0.2.1")], LAYER)).status == 429
        assert (await server.ask("PATCH", location, [forwarded("192.0.2.2")], LAYER)).status == 202


@pytest.mark.parametrize(
    ("proxies", "client"), [(TrustedProxies(everyone=True), "192.0.2.1"), (TrustedProxies(), "127.0.0.1")]
)
async def test_the_log_names_the_client_behind_a_proxy(proxies: TrustedProxies, client: str) -> None:
    with capture_logs() as lines:
        async with served(forwarded=ForwardedHeaders(proxies=proxies)) as server:
            assert (await server.ask("GET", "/v2/", [forwarded("192.0.2.1")])).status == 200
    assert [line["client"] for line in lines if line["event"] == "request"] == [client]
