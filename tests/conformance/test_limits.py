"""Rights before bodies, and limits for one client, from outside over two workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.client import Client
from tests.conformance.content import digest_of
from tests.harness.mirror import Mirror

CONTENT = b"content"
UPLOADS = "/v2/a/blobs/uploads/"


@pytest.fixture(scope="module")
def narrow() -> Iterator[Client]:
    """A server with two workers that lets a client begin three uploads."""
    limits = {"upload_sessions_per_client": 3}
    with Mirror(workers=2, sections={"server": {"limits": limits}}) as mirror:
        yield Client(mirror.port)


@pytest.fixture(scope="module")
def closed() -> Iterator[Client]:
    """A server with two workers from which everybody may pull and to which nobody may push."""
    with Mirror(workers=2, sections={"server": {"anonymous": ["pull"]}}) as mirror:
        yield Client(mirror.port)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "/v2/a/manifests/1"),
        ("POST", f"{UPLOADS}?digest={digest_of(CONTENT)}"),
        ("PATCH", f"{UPLOADS}00000000-0000-0000-0000-000000000000"),
        ("PUT", f"{UPLOADS}00000000-0000-0000-0000-000000000000?digest={digest_of(CONTENT)}"),
    ],
)
def test_who_may_not_send_hears_it_before_the_body(closed: Client, method: str, target: str) -> None:
    head = f"{method} {target} HTTP/1.1\r\nHost: mirror\r\nContent-Length: 4000000\r\nExpect: 100-continue\r\n\r\n"
    (answer,) = closed.raw(head.encode(), method)
    assert (answer.status, answer.code) == (403, "DENIED")


def test_a_client_begins_so_many_uploads_whichever_worker_it_asks(narrow: Client) -> None:
    begun = [narrow.ask("POST", UPLOADS) for _ in range(3)]
    assert {answer.status for answer in begun} == {202}
    for _ in range(4):
        refused = narrow.ask("POST", UPLOADS)
        assert (refused.status, refused.code, refused["Retry-After"]) == (429, "TOOMANYREQUESTS", "60")
        assert "upload_sessions_per_client" in refused.json["errors"][0]["message"]
    assert narrow.get(begun[0].location).status == 204  # existing sessions continue

    assert narrow.ask("DELETE", begun[0].location).status == 204
    begun.append(narrow.ask("POST", UPLOADS))
    closing = f"{begun[1].location}?digest={digest_of(CONTENT)}"
    assert narrow.ask("PUT", closing, body=CONTENT).status == 201
    begun.append(narrow.ask("POST", UPLOADS))
    assert [answer.status for answer in begun[3:]] == [202, 202]
    assert narrow.ask("POST", UPLOADS).status == 429
