"""Logs written by a child process."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import textwrap

import pytest

from mirror.runtime import logs


def script(*lines: str, arguments: str = "") -> list[str]:
    """Return the command of a process that configures logs and executes ``lines``. Its logger is ``log``."""
    head = f"""
import logging, structlog, sys, time
from mirror.runtime import logs
log = structlog.get_logger("mirror.test")
with logs.configured({arguments}) as journal:
"""
    return [sys.executable, "-c", head + textwrap.indent("\n".join(lines), "    ")]


def logged(*lines: str, arguments: str = "") -> list[dict[str, object]]:
    """Return the log lines of such a process."""
    done = subprocess.run(script(*lines, arguments=arguments), stderr=subprocess.PIPE, check=False, timeout=30)
    return [json.loads(line) for line in done.stderr.decode().splitlines()]


def test_a_line_is_an_object() -> None:
    (line,) = logged("log.info('request', size_bytes=3, path='/a b', where={'x': object})")
    assert line.pop("timestamp")
    assert line == {
        "event": "request",
        "level": "info",
        "size_bytes": 3,
        "path": "/a b",
        "where": {"x": "<class 'object'>"},
    }


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_event_of_the_access_log_is_a_line_like_others(form: str) -> None:
    fields = {"path": "/a b", "token": "sesame", "status": 200, "event": "request"}
    command = script(
        "logs.REQUEST_ID.set('r1')",
        f"log.info(**{fields})",
        f"journal.info({fields})",
        arguments=f"form={form!r}",
    )
    done = subprocess.run(command, stderr=subprocess.PIPE, check=True, timeout=30)
    ours, theirs = (re.sub(rb"[0-9-]+T[0-9:.]+Z", b"", line) for line in done.stderr.splitlines())
    assert ours == theirs
    assert b"r1" in ours


@pytest.mark.parametrize("arguments", ["'warning'", "without={'request'}"])
def test_the_access_log_can_be_left_out(arguments: str) -> None:
    (line,) = logged("journal.info({'event': 'request'})", "log.warning('other')", arguments=arguments)
    assert line["event"] == "other"


def test_the_request_id_is_in_every_line() -> None:
    lines = logged(
        "logs.REQUEST_ID.set('r1')",
        "log.warning('a')",
        "logging.getLogger('alembic').warning('b %s', 1)",
    )
    assert [(line["event"], line["request_id"], line["level"]) for line in lines] == [
        ("a", "r1", "warning"),
        ("b 1", "r1", "warning"),
    ]


def test_events_can_be_left_out() -> None:
    (line,) = logged("log.warning('a', x=1)", "log.warning('b')", arguments="without={'a'}")
    assert line["event"] == "b"


def test_traces_are_kept_with_their_line() -> None:
    lines = logged(
        "try: 1 / 0",
        "except Exception as error: log.error('x', exc_info=error)",
        "try: 1 / 0",
        "except Exception: logging.getLogger('aiohttp').exception('y')",
    )
    assert [line["event"] for line in lines] == ["x", "y"]
    for line in lines:
        assert "ZeroDivisionError" in str(line["exception"])


@pytest.mark.parametrize(("level", "events"), [("debug", "abc"), ("info", "bc"), ("WARNING", "c"), ("error", "")])
def test_levels(level: str, events: str) -> None:
    lines = logged(
        "for each in (log, logging.getLogger('f')):",
        "    each.debug('a'), each.info('b'), each.warning('c')",
        arguments=repr(level),
    )
    assert [line["event"] for line in lines] == [*events, *events]


def test_the_level_can_be_changed_for_all_loggers() -> None:
    lines = logged(
        "for level in ('error', 'debug', 'info'):",
        "    journal.set_level(level)",
        "    for each in (log, logging.getLogger('f')):",
        "        each.debug(f'{level} d'), each.info(f'{level} i'), each.warning(f'{level} w')",
        "    journal.info({'event': f'{level} request'})",
    )
    assert [line["event"] for line in lines] == [
        *("debug d", "debug i", "debug w") * 2,
        "debug request",
        *("info i", "info w") * 2,
        "info request",
    ]


def test_an_unknown_level() -> None:
    with pytest.raises(ValueError, match="'loud' is not a log level"), logs.configured("loud"):
        pass


@pytest.mark.parametrize("name", ["password", "authorization", "token", "secret", "cookie", "credentials"])
def test_secrets_are_hidden(name: str) -> None:
    lines = logged(f"log.info('x', {name}='sesame')", f"logging.warning('y', extra={{{name!r}: 'sesame'}})")
    assert [line[name] for line in lines] == ["(hidden)", "(hidden)"]


def test_no_line_is_lost_and_none_is_torn_where_processes_share_a_pipe() -> None:
    reading, writing = os.pipe()
    command = script("for n in range(5000): log.info('x' * 100, who=sys.argv[1], n=n)")
    workers = [subprocess.Popen([*command, str(who)], stderr=writing) for who in range(3)]
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines = [json.loads(line) for line in pipe]
    assert [worker.wait(30) for worker in workers] == [0, 0, 0]
    for who in range(3):
        assert [line["n"] for line in lines if line["who"] == str(who)] == list(range(5000))


def test_a_warning_does_not_wait_for_the_end() -> None:
    with subprocess.Popen(script("log.warning('now')", "time.sleep(60)"), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        try:
            assert json.loads(process.stderr.readline())["event"] == "now"
        finally:
            process.kill()


def test_what_is_logged_after_the_end_is_written_too() -> None:
    stream = io.StringIO()
    lines = logs.LogLines(stream)
    lines.close()
    lines.write("late\n")
    assert stream.getvalue() == "late\n"


def test_whoever_reads_may_leave() -> None:
    command = script("log.warning('a')", "sys.stdin.read()", "log.warning('b')", "print('done')")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stderr=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        assert process.stdout is not None
        assert process.stderr.readline()
        process.stderr.close()
        process.stdin.close()  # only now is the second line logged
        assert process.stdout.read() == b"done\n"
    assert process.returncode == 0


def test_for_people_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    subprocess.run(script("log.info('request', status=200)"), stderr=theirs, check=True, timeout=30)
    os.close(theirs)
    text = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "request" in text
    assert "\x1b[" in text
    assert "{" not in text


def test_a_reader_that_takes_nothing_costs_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_MAX_WAITING", 10)
    stream = io.StringIO()
    lines = logs.LogLines(stream)
    monkeypatch.setattr(lines, "_drain", lambda: None)
    for number in range(25):
        lines.write(f"{number}\n")
    monkeypatch.undo()
    lines.close()
    dropped = "15 log lines were dropped because the reader of the log was too slow"
    assert stream.getvalue().splitlines() == [*map(str, range(10)), dropped]


def test_a_process_that_forks_has_no_thread_and_its_forks_configure_again() -> None:
    lines = logged(
        "import os, threading",
        "log.info('parent', threads=threading.active_count())",
        "if os.fork() == 0:",
        "    with logs.configured('warning', 'json'):",
        "        log.info('not told')",
        "        log.warning('child', threads=threading.active_count())",
        "    os._exit(0)",
        "os.wait()",
        "log.info('parent again')",
        arguments="form='json', has_thread=False",
    )
    assert [(each["event"], each.get("threads")) for each in lines] == [
        ("parent", 1),
        ("child", 2),
        ("parent again", None),
    ]
