"""Uploads that end badly: broken connections and transfer codings, silent clients, registries that refuse.

Everything that a client can show from outside is in ``tests/conformance/test_uploads.py``.
"""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from mirror.oci import Repository
from mirror.oci.errors import TooManyRequests, UploadUnknown
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.memory import MemoryRegistry
from mirror.registry.upload import Upload
from mirror.server.http.server_limits import ServerLimits
from tests.support.served import LAYER, REPOSITORY, Served, digest, served, until_held

URL = f"/v2/{REPOSITORY}/blobs/uploads/"
HALF = len(LAYER) // 2


def with_digest(location: str) -> str:
    return f"{location}?digest={digest(LAYER)}"


async def test_what_a_client_sent_before_it_left_stays(empty: Served) -> None:
    location = await empty.begin_upload()
    async with empty.connect() as connection:
        await connection.send("PATCH", location, [("Content-Length", str(len(LAYER)))])
        connection.writer.write(LAYER[:HALF])
        await connection.writer.drain()
        await until_held(empty, location, HALF)
    assert (await empty.ask("GET", location)).headers["Range"] == f"0-{HALF - 1}"
    assert (await empty.ask("PUT", with_digest(location), body=LAYER[HALF:])).status == 201


@pytest.mark.parametrize("broken", [b"zz\r\n", b"-1\r\nabc", b"3\r\nabcdef"])
async def test_a_broken_transfer_coding(empty: Served, broken: bytes) -> None:
    location = await empty.begin_upload()
    async with empty.connect() as connection:
        await connection.send("PATCH", location, [("Transfer-Encoding", "chunked")])
        connection.writer.write(broken)
        answer = await connection.receive()
        assert answer.status == 400
        assert answer.json["errors"]
        assert await connection.ended()
    assert (await empty.ask("GET", location)).status == 204


async def test_a_client_that_falls_silent_is_refused_and_may_go_on_later() -> None:
    async with served(limits=ServerLimits(idle_seconds=0.2)) as server:
        location = await server.begin_upload()
        async with server.connect() as connection:
            await connection.send("PATCH", location, [("Content-Length", str(len(LAYER)))])
            connection.writer.write(LAYER[:HALF])
            answer = await connection.receive()
        assert (answer.status, answer.code) == (400, "SIZE_INVALID")
        assert "no data arrived for 0.2 s" in answer.json["errors"][0]["message"]
        assert (await server.ask("PUT", with_digest(location), body=LAYER[HALF:])).status == 201


class Remembering(DelegatingRegistry):
    """A registry in memory that remembers the uploads that were begun."""

    def __init__(self) -> None:
        super().__init__(MemoryRegistry())
        self.uploads: list[Upload] = []

    async def begin_upload(
        self, repository: Repository, client: str | None = None, algorithm: str = "sha256"
    ) -> Upload:
        self.uploads.append(await super().begin_upload(repository, client, algorithm))
        return self.uploads[-1]


async def test_a_single_post_that_fails_leaves_no_session() -> None:
    registry = Remembering()
    async with served(registry, ServerLimits(blob_bytes=HALF)) as server:
        assert (await server.ask("POST", with_digest(URL), body=[LAYER])).status == 413
        assert (await server.ask("POST", with_digest(URL), body=LAYER[:HALF])).status == 400
    assert len(registry.uploads) == 2
    for upload in registry.uploads:
        with pytest.raises(UploadUnknown):
            await registry.resume_upload(REPOSITORY, upload.id)


@pytest.mark.parametrize("most_bytes", [HALF, HALF // 2])
@pytest.mark.parametrize("in_pieces", [False, True])
async def test_a_blob_that_grows_too_large_is_told_the_limit_of_the_whole(most_bytes: int, in_pieces: bool) -> None:
    registry = MemoryRegistry()
    async with served(registry) as server:
        location = await server.begin_upload()
        assert (await server.ask("PATCH", location, body=LAYER[:HALF])).status == 202
    # The session is older than a limit that was lowered since.
    async with served(registry, ServerLimits(blob_bytes=most_bytes)) as server:
        for method, target in (("PATCH", location), ("PUT", with_digest(location))):
            refused = await server.ask(method, target, body=[b"more"] if in_pieces else b"more")
            (error,) = refused.json["errors"]
            assert refused.status == 413
            assert f"at most {most_bytes} bytes are accepted in total, and {HALF} bytes came" in error["message"]
            assert error["detail"] == {"limit": str(most_bytes)}


class Full(DelegatingRegistry):
    """A registry that lets no client begin an upload."""

    async def begin_upload(
        self, repository: Repository, client: str | None = None, algorithm: str = "sha256"
    ) -> Upload:
        raise TooManyRequests(f"{client} has enough", retry_after_seconds=60)


async def test_a_client_that_may_begin_no_more_is_counted_and_told_when_to_come_back() -> None:
    with capture_logs() as lines:
        async with served(Full(MemoryRegistry())) as server:
            for _ in range(3):
                refused = await server.ask("POST", URL)
                assert (refused.status, refused.code, refused.headers["Retry-After"]) == (429, "TOOMANYREQUESTS", "60")
                assert "127.0.0.1 has enough" in refused.json["errors"][0]["message"]
            assert server.activity.beginning.count == 3
    assert [line["client"] for line in lines if line["event"] == "client refused"] == ["127.0.0.1"]
