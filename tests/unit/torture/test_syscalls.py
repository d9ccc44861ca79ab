"""The parser of a system call trace, and the detection of a wrong order."""

import pytest

from tests.torture.syscalls import (
    OrderBroken,
    answers,
    parse,
    require_content_order,
    require_log_order,
    require_name_order,
)

BLOB = "/d/blobs/sha256/ab/abc"
LOG = "/d/catalog.sqlite-wal"
RIGHT = [
    '7 pwrite64(14</d/uploads/1/data>, "\\0\\"x<y>"..., 9, 0) = 9',
    "7 fsync(14</d/uploads/1/data>) = 0",
    f'7 rename("/d/uploads/1/data", "{BLOB}") = 0',
    "7 fsync(15</d/blobs/sha256/ab>) = 0",
    f'8 pwrite64(10<{LOG}>, "\\n\\0", 4096, 0) = 4096',
    f"8 fdatasync(10<{LOG}>) = 0",
    '6 sendto(13<socket:[1]>, "HTTP/1.1 201 Created\\r\\nDate"..., 360, 0, NULL, 0) = 360',
]


def check(lines: list[str]) -> None:
    calls = parse("\n".join(lines))
    ((status, answer),) = answers(calls)
    assert status == 201
    require_content_order(calls, BLOB, LOG, answer)


def test_a_call() -> None:
    (call,) = parse('123  pwrite64(14</d/a b>, "\\"x", 9, 0) = -1 ENOSPC (No space left on device)\n')
    assert (call.process, call.name, call.path, call.result) == (123, "pwrite64", "/d/a b", -1)
    assert call.texts == ['\\"x']


def test_a_call_in_two_parts_has_two_places() -> None:
    first, second = parse(
        '1 fsync(3</d/x> <unfinished ...>\n2 write(4</d/y>, "a", 1) = 1\n1 <... fsync resumed>)             = 0\n'
    )
    assert (first.name, first.path, first.result) == ("fsync", "/d/x", 0)
    assert (first.begun, second.begun, first.ended) == (0, 1, 2)


def test_a_call_that_never_ended() -> None:
    killed, cut = parse("1 fsync(3</d/x>) = ?\n2 fsync(4</d/y> <unfinished ...>\n1 +++ killed by SIGKILL +++\n")
    assert killed.result is None
    assert (cut.result, cut.ended) == (None, 4)


def test_notes_are_no_calls() -> None:
    assert parse("1 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER} ---\n1 +++ exited with 0 +++\n") == []


def test_anything_else_is_refused() -> None:
    with pytest.raises(ValueError, match="line 1"):
        parse("strace: Process 12 attached\n")


def test_the_right_order() -> None:
    check(RIGHT)


@pytest.mark.parametrize("lost", range(len(RIGHT) - 1), ids=lambda lost: RIGHT[lost].split("(")[0])
def test_each_step_is_needed(lost: int) -> None:
    with pytest.raises(OrderBroken):
        check(RIGHT[:lost] + RIGHT[lost + 1 :])


@pytest.mark.parametrize("early", range(len(RIGHT) - 1), ids=lambda early: RIGHT[early].split("(")[0])
def test_no_step_may_be_exchanged_with_the_next(early: int) -> None:
    lines = RIGHT.copy()
    lines[early], lines[early + 1] = lines[early + 1], lines[early]
    with pytest.raises(OrderBroken):
        check(lines)


def test_a_sync_that_failed_is_none() -> None:
    lines = [line.replace("data>) = 0", "data>) = -1 EIO (Input/output error)") for line in RIGHT]
    with pytest.raises(OrderBroken, match="the bytes were not synced"):
        check(lines)


def test_a_sync_that_had_not_ended_is_none() -> None:
    begun = f"8 fdatasync(10<{LOG}> <unfinished ...>"
    lines = [*RIGHT[:5], begun, RIGHT[6], "8 <... fdatasync resumed>) = 0"]
    with pytest.raises(OrderBroken, match="the rows were not synced"):
        check(lines)


def test_rows_of_an_earlier_change_do_not_count() -> None:
    calls = parse("\n".join([*RIGHT, '6 sendto(13<socket:[1]>, "HTTP/1.1 202 Accepted"..., 9, 0, NULL, 0) = 9']))
    with pytest.raises(OrderBroken, match="the rows did not come before"):
        require_log_order(calls, LOG, calls[-2], calls[-1])


def test_a_name_is_synced_after_it_was_made() -> None:
    made = f'7 openat(AT_FDCWD</>, "{LOG}", O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 10<{LOG}>'
    synced = "7 fsync(11</d>) = 0"
    calls = parse("\n".join([made, synced, RIGHT[-1]]))
    require_name_order(calls, LOG, calls[-1])

    for wrong in ([synced, made, RIGHT[-1]], [made, RIGHT[-1]], [synced, RIGHT[-1]]):
        calls = parse("\n".join(wrong))
        with pytest.raises(OrderBroken):
            require_name_order(calls, LOG, calls[-1])
