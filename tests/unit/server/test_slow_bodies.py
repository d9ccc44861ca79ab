"""A slow body is ended only if others wait for its place. The tests move the clock."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from structlog.testing import capture_logs

from mirror.server.http.body_rate import WINDOW_SECONDS, BodyRate
from mirror.server.http.server_limits import ServerLimits
from tests.support.served import LAYER, served, until_held
from tests.support.waiting import until

SETTING = "server.limits.least_body_bytes_per_second"


class Hands:
    """A clock that stands still until a test moves it."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize(
    ("steps", "slow"),
    [
        ([(1, 59)], False),
        ([(1, 60)], True),
        ([(60 * 1024, 60)], False),
        ([(60 * 1024 - 1, 60)], True),
        ([(60 * 1024 - 1, 30), (1, 30)], False),
        ([(1, 60), (1, 1)], True),  # the result stays until the next measurement
        ([(1, 60), (1024 * 60, 60)], False),
        ([(1024**3, 1), (1, 59), (1, 60)], True),  # bytes older than a minute do not count
        ([(1024 * 100, 101)], True),
    ],
)
def test_the_rate_is_measured_over_a_minute(steps: list[tuple[int, float]], slow: bool) -> None:
    now, pace, said = 0.0, BodyRate(1024, 0), False
    for size_bytes, seconds in steps:
        now += seconds
        said = pace.received(size_bytes, now)
    assert said == slow


def test_with_no_least_rate_nothing_is_slow() -> None:
    assert not BodyRate(0, 0).received(0, 10 * WINDOW_SECONDS)


@pytest.mark.parametrize("crowd", ["connections", "connections_per_client", "uploads_per_client"])
async def test_a_slow_body_makes_room_where_others_wait(crowd: str) -> None:
    hands = Hands()
    most = {"uploads_per_client": 2}.get(crowd, 8)
    with capture_logs() as lines:
        async with (
            served(limits=ServerLimits(**{crowd: most}), now_seconds=hands) as server,
            AsyncExitStack() as clients,
        ):
            location = await server.begin_upload()
            slow = await clients.enter_async_context(server.connect())
            await slow.send("PATCH", location, [("Content-Length", str(len(LAYER)))])
            for held in range(1, 4):  # the upload continues, because no other request waits
                slow.writer.write(LAYER[:1])
                await until_held(server, location, held)
                hands.seconds += 61
            if crowd == "uploads_per_client":
                other = await clients.enter_async_context(server.connect())
                await other.send("PATCH", await server.begin_upload(), [("Content-Length", "1")])
                await until(lambda: server.activity.uploading.count >= most)
            else:
                for _ in range(most - 2):
                    idle = await clients.enter_async_context(server.connect())
                    await idle.send("GET", "/v2/")
                    assert (await idle.receive()).status == 200
            slow.writer.write(LAYER[:1])
            answer = await slow.receive()
            assert (answer.status, answer.code, answer.headers["Connection"]) == (408, "SIZE_INVALID", "close")
            assert SETTING in answer.json["errors"][0]["message"]
            assert await slow.ended()
            assert server.activity.dawdling.count == 1
            assert (await server.ask("GET", location)).headers["Range"] == "0-2"  # the received bytes are kept
    assert [line["limit"] for line in lines if line["event"] == "client refused"] == [SETTING]


async def test_a_fast_body_goes_on_whoever_waits() -> None:
    hands, content = Hands(), bytes(4 * 1024 * 1024)
    half = len(content) // 2
    async with (
        served(limits=ServerLimits(uploads_per_client=1), now_seconds=hands) as server,
        server.connect() as sender,
    ):
        location = await server.begin_upload()
        await sender.send("PATCH", location, [("Content-Length", str(len(content)))])
        sender.writer.write(content[:half])
        await until_held(server, location, half)
        hands.seconds += 61
        assert server.activity.is_crowded("127.0.0.1")
        sender.writer.write(content[half:])
        assert (await sender.receive()).status == 202
        assert server.activity.dawdling.count == 0
