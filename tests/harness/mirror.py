"""Our own server and command line, as separate processes: what a user runs."""

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.command import CompletedRun, run
from tests.harness.ports import free_port
from tests.harness.process import Service
from tests.harness.readiness import http_answers

#: The command as it was installed beside the interpreter that runs the tests.
PROGRAM = str(Path(sys.executable).with_name("plugin-mirror"))


def plugin_mirror(
    *arguments: str, check: bool = True, folder: Path | None = None, timeout_seconds: float = 60
) -> CompletedRun:
    """Run one command of the command line; `check`: raise where it does not end with 0."""
    return run([PROGRAM, *arguments], check=check, folder=folder, timeout_seconds=timeout_seconds)


class Mirror:
    """A `plugin-mirror serve` on a free port of 127.0.0.1, with a data folder of its own.

    As a context manager it runs inside the block. `stop()` and `kill()` keep the data; `start()` serves it again on
    the same port; leaving the block removes everything. `sections`: the configuration, as in the file.
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        data: Path | None = None,
        sections: Mapping[str, Any] | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self._workers = workers
        self._data = data
        self._sections = dict(sections or {})
        self._wrapper = list(wrapper)
        self._stack = ExitStack()
        self._service: Service | None = None
        self._folder: Path | None = None

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`, as it is written in references."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a slash at the end."""
        return f"http://{self.host}"

    @property
    def folder(self) -> Path:
        """Folder of configuration and log (`mirror.log`), and of `data` where no other was given."""
        if self._folder is None:
            raise RuntimeError("the mirror is not open")
        return self._folder

    @property
    def data(self) -> Path:
        """The data folder."""
        return self._data or self.folder / "data"

    @property
    def config(self) -> Path:
        """The configuration file; every command can be given it."""
        return self.folder / "config.yaml"

    @property
    def pid(self) -> int | None:
        """The process started first: the server, or the parent of its workers."""
        return self._service.pid if self._service else None

    @property
    def log(self) -> list[dict[str, Any]]:
        """What was logged until now."""
        lines = (self.folder / "mirror.log").read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mirror-")))
            server = {"listen": self.host, "workers": self._workers, "anonymous": ["pull", "push", "delete"]}
            server |= self._sections.get("server", {})
            sections = {"storage": {"path": str(self.data)}} | self._sections | {"server": server}
            self.config.write_text(json.dumps(sections, indent=2))  # JSON is YAML
            self._service = Service(
                [*self._wrapper, PROGRAM, "serve", "--config", str(self.config)],
                log=self.folder / "mirror.log",
                ready=http_answers(f"{self.url}/readyz"),
                environment=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
            stack.callback(self.stop)
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self) -> None:
        """Serve again after `stop()` or `kill()`."""
        if self._service is None:
            raise RuntimeError("the mirror is not open")
        self._service.start()

    def stop(self) -> int | None:
        """End the server as an operator would; its exit code."""
        return self._service.stop() if self._service else None

    def kill(self) -> None:
        """End the server, workers included, by SIGKILL."""
        if self._service is not None:
            self._service.kill()

    def command(self, *arguments: str, check: bool = True) -> CompletedRun:
        """Run a command of the command line with this mirror's configuration."""
        return plugin_mirror(*arguments, "--config", str(self.config), check=check)
