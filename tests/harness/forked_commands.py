"""Commands of `plugin-mirror` that run in forks of one process, so that a table of hundreds of them is quick.

Run as a program, this module reads requests from standard input, one JSON object a line, and answers each with a line.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Exit code of a command that ended with a traceback.
CRASHED = 70
#: Modules that Python imports only when they are used. Users without access to the Python of root cannot import them.
_LATE = (
    "encodings.idna",
    "encodings.utf_8_sig",
    "encodings.utf_16",
    "encodings.latin_1",
    "ctypes",
    "importlib.readers",
    "aiohttp_socks",
    "rich.progress",
    "alembic.command",
)


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str


class ForkedCommands:
    """Runs commands. Created by :func:`forked_commands`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(
        self,
        argv: Sequence[str],
        folder: Path,
        *,
        uid: int = 0,
        answers: str = "",
        output: str = "",
        interrupt_at: str = "",
    ) -> Ended:
        """Run a command to its end.

        Args:
            argv: arguments after `plugin-mirror`.
            folder: current folder.
            uid: user that runs it.
            answers: standard input.
            output: `closed` for a pipe that nobody reads, or a file for standard output.
            interrupt_at: audit event of Python at which Ctrl-C is pressed, such as `sqlite3.connect`.
        """
        asked = {"argv": list(argv), "folder": str(folder), "uid": uid, "answers": answers, "output": output}
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({**asked, "interrupt_at": interrupt_at}) + "\n")
        stdin.flush()
        return Ended(**json.loads(stdout.readline()))


@contextmanager
def forked_commands() -> Iterator[ForkedCommands]:
    """Start the process that forks. It has no variables for the program."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLUGIN_MIRROR")}
    command = [sys.executable, "-m", "tests.harness.forked_commands"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment | {"COLUMNS": "200"}
    ) as process:
        try:
            yield ForkedCommands(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def _serve() -> None:
    import mirror

    for module in pkgutil.walk_packages(mirror.__path__, "mirror."):
        if "migrations" not in module.name and "installer." not in module.name:
            importlib.import_module(module.name)
    for name in _LATE:
        with suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), flush=True)


def _run(asked: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            code = CRASHED
            try:
                _become(asked, out.fileno(), err.fileno())
                code = _command(asked["argv"])
            except BaseException:  # noqa: BLE001 - reported to the parent by its traceback
                traceback.print_exc()
            finally:
                with suppress(OSError):
                    sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return {"code": os.waitstatus_to_exitcode(status), "out": texts[0], "err": texts[1]}


def _become(asked: dict[str, Any], out: int, err: int) -> None:
    """Take the streams, the folder and the user of the command."""
    reader, writer = os.pipe()
    os.write(writer, asked["answers"].encode())
    os.close(writer)
    os.dup2(reader, 0)
    sys.stdin = open(0)  # noqa: SIM115 - for the life of the process
    if asked["output"] == "closed":
        unread, out = os.pipe()
        os.close(unread)
    elif asked["output"]:
        out = os.open(asked["output"], os.O_WRONLY)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.chdir(asked["folder"])
    if asked["uid"]:
        os.setgroups([])
        os.setgid(asked["uid"])
        os.setuid(asked["uid"])
    if asked["interrupt_at"]:
        # A shell starts programs in the background without the effect of Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        pressed = []

        def press(event: str, arguments: tuple[object, ...]) -> None:
            name, _, file = asked["interrupt_at"].partition(" ")
            if event == name and not pressed and (not file or str(arguments[0]).endswith(file)):
                pressed.append(event)
                os.kill(os.getpid(), signal.SIGINT)

        sys.addaudithook(press)


def _command(argv: list[str]) -> int:
    from mirror.cli.command_line import run

    code = run(argv)
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    _serve()
