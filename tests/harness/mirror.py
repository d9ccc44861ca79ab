"""plugin-mirror's server and command line as separate processes, as a user runs them."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.harness.command import CompletedRun, run
from tests.harness.process import Service
from tests.harness.readiness import http_answers, tcp_accepts
from tests.harness.server import Server

#: Path of the command that is installed next to the interpreter that runs the tests.
PROGRAM = str(Path(sys.executable).with_name("plugin-mirror"))


def plugin_mirror(
    *arguments: str, check: bool = True, folder: Path | None = None, timeout_seconds: float = 180
) -> CompletedRun:
    """Run one plugin-mirror command. Raises `CommandFailedError` for a non-zero exit code if `check` is true."""
    return run([PROGRAM, *arguments], check=check, folder=folder, timeout_seconds=timeout_seconds)


class Mirror(Server):
    """A `plugin-mirror serve` on a free port of 127.0.0.1, or of another address.

    `folder` contains its configuration (`config.yaml`), its log (`mirror.log`) and its data folder (`data`).

    Args:
        workers: Number of worker processes.
        data: Data folder to use instead of `data` in `folder`.
        sections: Configuration by section, as in the configuration file. Anonymous clients may pull, push and delete
            unless `server` says otherwise.
        wrapper: Command that starts the server, such as strace with its arguments.
        arguments: Further arguments of `plugin-mirror serve`.
        address: Address of this machine to listen on.
    """

    kind = "mirror"

    def __init__(
        self,
        *,
        workers: int = 1,
        data: Path | None = None,
        sections: Mapping[str, Any] | None = None,
        wrapper: Sequence[str] = (),
        arguments: Sequence[str] = (),
        address: str = "127.0.0.1",
    ) -> None:
        super().__init__(address=address)
        self._workers = workers
        self._data = data
        self._sections = dict(sections or {})
        self._wrapper = list(wrapper)
        self._arguments = list(arguments)

    @property
    def url(self) -> str:
        """Base URL `http://127.0.0.1:PORT`, or `https://…` if TLS is configured, without a trailing slash."""
        return f"{'https' if self._sections.get('server', {}).get('tls') else 'http'}://{self.host}"

    @property
    def data(self) -> Path:
        """Data folder of the server."""
        return self._data or self.folder / "data"

    @property
    def config(self) -> Path:
        """Configuration file of the server. Every command accepts it with `--config`."""
        return self.folder / "config.yaml"

    @property
    def log(self) -> list[dict[str, Any]]:
        """JSON log lines written so far. Other lines are left out."""
        lines = (self.folder / "mirror.log").read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def _made(self) -> Service:
        server = {"listen": self.host, "workers": self._workers, "anonymous": ["pull", "push", "delete"]}
        server |= self._sections.get("server", {})
        sections = {"storage": {"path": str(self.data)}} | self._sections | {"server": server}
        self.config.write_text(json.dumps(sections, indent=2))  # the server reads YAML, and JSON is valid YAML
        return Service(
            [*self._wrapper, PROGRAM, "serve", "--config", str(self.config), *self._arguments],
            log=self.folder / "mirror.log",
            ready=self._ready(server),
            environment=os.environ | {"PYTHONUNBUFFERED": "1"},  # tests read the log while the server runs
        )

    def _ready(self, server: Mapping[str, Any]) -> Callable[[], bool]:
        """Return a probe that is true if the server answers on all of its addresses."""
        # The certificate of a server with TLS may be one that http_answers does not trust.
        tls = server.get("tls")
        probes = [tcp_accepts(self._address, self.port) if tls else http_answers(f"{self.url}/readyz")]
        if plain := server.get("plain"):
            host, _, port = plain["listen"].rpartition(":")
            probes.append(tcp_accepts(host, int(port)))
        return lambda: all(probe() for probe in probes)

    def configure(self, **sections: Mapping[str, Any] | Sequence[Any]) -> None:
        """Change the configuration file. The server reads it at its next start or reload.

        Args:
            sections: Keys of a section to change, or a list in place of the one before. None removes a key.
        """
        found = json.loads(self.config.read_text())
        for name, values in sections.items():
            if isinstance(values, Mapping):
                changed = found.get(name, {}) | values
                found[name] = {key: value for key, value in changed.items() if value is not None}
            else:
                found[name] = values
        self.config.write_text(json.dumps(found))

    def command(self, *arguments: str, check: bool = True, input_text: str | None = None) -> CompletedRun:
        """Run a plugin-mirror command with this server's configuration, and text for its standard input."""
        return run([PROGRAM, *arguments, "--config", str(self.config)], check=check, input_text=input_text)
