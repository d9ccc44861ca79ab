"""Our own server and command line, as separate processes: what a user runs."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.harness.command import CompletedRun, run
from tests.harness.process import Service
from tests.harness.readiness import http_answers
from tests.harness.server import Server

#: The command as it was installed beside the interpreter that runs the tests.
PROGRAM = str(Path(sys.executable).with_name("plugin-mirror"))


def plugin_mirror(
    *arguments: str, check: bool = True, folder: Path | None = None, timeout_seconds: float = 60
) -> CompletedRun:
    """Run one command of the command line; `check`: raise where it does not end with 0."""
    return run([PROGRAM, *arguments], check=check, folder=folder, timeout_seconds=timeout_seconds)


class Mirror(Server):
    """A `plugin-mirror serve` on a free port of 127.0.0.1, with a data folder of its own.

    `folder` has its configuration and log (`mirror.log`), and `data` where no other was given. `sections`: the
    configuration, as in the file.
    """

    kind = "mirror"

    def __init__(
        self,
        *,
        workers: int = 1,
        data: Path | None = None,
        sections: Mapping[str, Any] | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._workers = workers
        self._data = data
        self._sections = dict(sections or {})
        self._wrapper = list(wrapper)

    @property
    def data(self) -> Path:
        """The data folder."""
        return self._data or self.folder / "data"

    @property
    def config(self) -> Path:
        """The configuration file; every command can be given it."""
        return self.folder / "config.yaml"

    @property
    def log(self) -> list[dict[str, Any]]:
        """What was logged until now."""
        lines = (self.folder / "mirror.log").read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def _made(self) -> Service:
        server = {"listen": self.host, "workers": self._workers, "anonymous": ["pull", "push", "delete"]}
        server |= self._sections.get("server", {})
        sections = {"storage": {"path": str(self.data)}} | self._sections | {"server": server}
        self.config.write_text(json.dumps(sections, indent=2))  # JSON is YAML
        return Service(
            [*self._wrapper, PROGRAM, "serve", "--config", str(self.config)],
            log=self.folder / "mirror.log",
            ready=http_answers(f"{self.url}/readyz"),
            environment=os.environ | {"PYTHONUNBUFFERED": "1"},
        )

    def command(self, *arguments: str, check: bool = True) -> CompletedRun:
        """Run a command of the command line with this mirror's configuration."""
        return plugin_mirror(*arguments, "--config", str(self.config), check=check)
