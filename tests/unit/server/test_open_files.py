"""Few file descriptors: how many connections they allow, and what is answered and logged without any."""

import asyncio
import errno
import json

import pytest
import structlog

from mirror.oci.errors import TooManyOpenFiles
from mirror.server.http import error_responses, open_files
from mirror.server.http.refusal_log import RefusalLog
from mirror.server.http.server_limits import OWN_DESCRIPTORS, ServerLimits


@pytest.fixture(autouse=True)
def shortage(monkeypatch: pytest.MonkeyPatch) -> RefusalLog:
    fresh = RefusalLog("open files (ulimit -n)", now_seconds=lambda: 1000.0)
    monkeypatch.setattr(open_files, "SHORTAGE", fresh)
    monkeypatch.setattr(error_responses, "SHORTAGE", fresh)
    return fresh


@pytest.mark.parametrize(
    ("descriptors", "connections", "surplus"),
    [(1_048_576, 2048, 128), (8192, 2048, 128), (1024, 430, 123), (256, 94, 27), (64, 10, 3), (40, 1, 1), (10, 1, 1)],
)
def test_connections_fit_into_the_limit_of_open_files(descriptors: int, connections: int, surplus: int) -> None:
    limits = ServerLimits().within(descriptors)
    assert (limits.connections, limits.surplus_connections) == (connections, surplus)
    if descriptors > OWN_DESCRIPTORS + 4:
        assert OWN_DESCRIPTORS + 2 * limits.connections + limits.surplus_connections <= descriptors


def test_a_lower_configured_number_stays() -> None:
    assert ServerLimits(connections=5).within(1024).connections == 5


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_no_descriptor_is_503_with_one_line_for_many_answers(shortage: RefusalLog, number: int) -> None:
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            answers = (
                error_responses.failed(OSError(number, "Too many open files"), "1"),
                error_responses.refused(TooManyOpenFiles.while_doing("read the catalog"), "2"),
            )
    assert [(answer.status, answer.headers["Retry-After"]) for answer in answers] == [(503, "1"), (503, "1")]
    assert isinstance(answers[1].body, bytes)
    (error,) = json.loads(answers[1].body)["errors"]
    assert error["message"].startswith("cannot read the catalog: too many open files; fix: ")
    assert [line["limit"] for line in lines] == ["open files (ulimit -n)"]
    assert shortage.count == 6


async def test_connections_that_cannot_be_accepted_are_one_line(shortage: RefusalLog) -> None:
    loop, passed_on = asyncio.get_running_loop(), []
    with structlog.testing.capture_logs() as lines, pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "default_exception_handler", passed_on.append)
        for _ in range(3):
            open_files.handle_loop_error(loop, {"message": "accept", "exception": OSError(errno.EMFILE, "full")})
        other = {"message": "another failure", "exception": OSError(errno.EIO, "broken")}
        open_files.handle_loop_error(loop, other)
    assert (len(lines), passed_on) == (1, [other])
    assert shortage.count == 3
