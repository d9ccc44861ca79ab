"""Keys of a token issuer from a file or a URL, when they change and when they cannot be had."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mirror.access.issuer.issuer_metrics import KeyFetchOutcome
from mirror.access.issuer.jwk_set import JwkSet
from mirror.access.issuer.key_sources import FetchedKeys, KeyFile
from mirror.oci.errors import ConfigurationFault, UpstreamUnreachable
from tests.support.clocks import HandClock
from tests.support.token_issuer import TokenIssuer

FIRST, SECOND = TokenIssuer().key_set, TokenIssuer(kid="second", number=1).key_set


def kids(keys: JwkSet) -> list[str | None]:
    return [key.kid for key in keys.keys]


async def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    clock, path = HandClock(), tmp_path / "keys.json"
    path.write_bytes(FIRST)
    source = KeyFile(path, clock)
    path.write_bytes(SECOND)
    assert kids(await source.current()) == ["first"]
    clock.advance(seconds=2)
    await source.current()
    assert kids(await source.current()) == ["second"]
    path.write_bytes(FIRST)
    assert kids(await source.newer()) == ["first"]
    path.write_bytes(b"{}")
    assert kids(await source.newer()) == ["first"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "cannot be read"), (b"{}", "no JSON Web Key Set"), (b" " * 300_000, "is larger than 262144 bytes")],
)
def test_a_file_that_cannot_be_used_is_an_error_at_the_start(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationFault, match=rf"server\.token_issuer\.jwks: .*{problem}"):
        KeyFile(path, HandClock())


class Issuer:
    """Answers fetches with its content, or fails without any."""

    def __init__(self, content: bytes | None) -> None:
        self.content = content
        self.fetches = 0
        self.outcomes: list[KeyFetchOutcome] = []

    async def fetch(self) -> bytes:
        self.fetches += 1
        await asyncio.sleep(0)
        if self.content is None:
            raise UpstreamUnreachable("no answer")
        return self.content


async def test_keys_are_fetched_at_most_once_a_minute() -> None:
    clock, issuer = HandClock(), Issuer(FIRST)
    source = FetchedKeys("https://issuer", issuer.fetch, clock, issuer.outcomes.append)
    assert kids(await source.current()) == []
    found = await asyncio.gather(*(source.newer() for _ in range(10)))
    assert [kids(each) for each in found] == [["first"]] * 10
    issuer.content = SECOND
    clock.advance(seconds=59)
    assert kids(await source.newer()) == ["first"]
    assert issuer.fetches == 1
    clock.advance(seconds=1)
    assert kids(await source.newer()) == ["second"]
    assert (issuer.fetches, kids(await source.current())) == (2, ["second"])


@pytest.mark.parametrize("content", [None, b"{}", b"\xff"])
async def test_the_last_keys_stay_and_the_log_has_one_line(content: bytes | None) -> None:
    clock, issuer = HandClock(), Issuer(FIRST)
    source = FetchedKeys("https://issuer", issuer.fetch, clock, issuer.outcomes.append)
    await source.newer()
    issuer.content = content
    with capture_logs() as lines:
        for _ in range(3):
            clock.advance(minutes=1)
            assert kids(await source.newer()) == ["first"]
        issuer.content = SECOND
        clock.advance(minutes=1)
        assert kids(await source.newer()) == ["second"]
    assert issuer.outcomes == ["fetched", "failed", "failed", "failed", "fetched"]
    assert [line["event"] for line in lines] == [
        "keys of the token issuer not fetched, last keys stay in use",
        "keys of the token issuer fetched",
    ]


async def test_keys_are_fetched_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, issuer = HandClock(), Issuer(None)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        if seconds:
            slept.append(seconds)
            clock.advance(seconds=seconds)
            issuer.content = FIRST
            if len(slept) == 3:
                raise asyncio.CancelledError

    monkeypatch.setattr("mirror.access.issuer.key_sources.asyncio.sleep", sleep)
    source = FetchedKeys("https://issuer", issuer.fetch, clock, issuer.outcomes.append)
    with pytest.raises(asyncio.CancelledError):
        await source.follow()
    assert slept == [60, 300, 300]
    assert (issuer.fetches, kids(await source.current())) == (3, ["first"])
