"""A parent and its workers: proposals that all accept or none, deaths, and signals. In programs of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap

HEAD = """
import asyncio, os, signal, sys
from mirror.runtime import logs
from mirror.runtime.worker_processes import WorkerProcesses

log = logs.configured("info", "json", has_thread=False)
log.__enter__()

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
"""


def begun(script: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", HEAD + textwrap.dedent(script)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def line(program: subprocess.Popen[bytes]) -> str:
    assert program.stdout is not None
    return program.stdout.readline().decode().strip()


def ended(program: subprocess.Popen[bytes]) -> tuple[int, str]:
    _, told = program.communicate(timeout=250)
    return program.returncode, told.decode()


ANSWERING = """
async def answer(place, parent):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.get_running_loop().add_reader(parent.alive, stop.set)
    async def follow():
        while True:
            number, text = await parent.receive()
            if text == "die":
                os._exit(7)
            if text.startswith("done"):
                say(place, text)
                parent.answer(number, "")
                continue
            if number == 2:
                parent.answer(1, "a late answer to an earlier proposal")
            parent.answer(number, "" if place else text)
    task = asyncio.create_task(follow())
    say("ready")
    await stop.wait()
    task.cancel()
"""


def test_all_accept_or_nobody_does() -> None:
    script = (
        ANSWERING
        + """
texts = iter(["", "no, because", ""])
count = 0
def hung_up(workers):
    global count
    count += 1
    refusals = workers.propose(count, (count, next(texts)), 60)
    workers.propose(count, (count, f"done {count}: {refusals}"), 60)
WorkerProcesses(2, lambda place, parent: asyncio.run(answer(place, parent)), lambda: None, hung_up).run()
"""
    )
    program = begun(script)
    assert {line(program), line(program)} == {"ready"}
    for number, refusals in ((1, []), (2, ["no, because"]), (3, [])):
        os.kill(program.pid, signal.SIGHUP)
        assert {line(program), line(program)} == {f"{place} done {number}: {refusals}" for place in (0, 1)}
    program.terminate()
    assert ended(program) == (0, "")


def test_a_worker_that_dies_over_a_proposal_refuses_it_and_is_replaced() -> None:
    script = (
        ANSWERING
        + """
def hung_up(workers):
    say(*workers.propose(1, (1, "die"), 60))
WorkerProcesses(1, lambda place, parent: asyncio.run(answer(place, parent)), lambda: None, hung_up).run()
"""
    )
    program = begun(script)
    assert line(program) == "ready"
    os.kill(program.pid, signal.SIGHUP)
    assert line(program).endswith("has ended; fix: reload again")
    assert line(program) == "ready"  # the replacement
    program.terminate()
    code, told = ended(program)
    (event,) = [json.loads(line) for line in told.splitlines()]
    assert (code, event["event"], event["exit_code"]) == (0, "worker ended, starting another", 7)


def test_a_worker_that_does_not_answer_is_a_refusal() -> None:
    script = """
def sleep(place, parent):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    say("ready")
    while True:
        signal.pause()
def hung_up(workers):
    say(*workers.propose(1, (1, "hello"), 0.01))
WorkerProcesses(1, sleep, lambda: None, hung_up).run()
"""
    program = begun(script)
    assert line(program) == "ready"
    os.kill(program.pid, signal.SIGHUP)
    assert line(program).endswith("did not answer within 0.01 s; fix: reload again")
    program.send_signal(signal.SIGINT)
    assert ended(program) == (0, "")
