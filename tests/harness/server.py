"""Base class of the servers that tests start: a free port, a folder and a process."""

import tempfile
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from tests.harness.ports import free_port
from tests.harness.process import Service


class Server(ABC):
    """A server on a free port of 127.0.0.1.

    As a context manager, the server runs inside the block. `stop()` and `kill()` keep its folder and port, and
    `start()` starts the server again. Leaving the block removes everything.
    """

    #: Name of the server in messages and folder names.
    kind: ClassVar[str]

    def __init__(self, *, address: str = "127.0.0.1") -> None:
        self.port = free_port()
        self._address = address
        self._stack = ExitStack()
        self._service: Service | None = None
        self._folder: Path | None = None

    @property
    def host(self) -> str:
        """Address `127.0.0.1:PORT`, as written in references."""
        return f"{self._address}:{self.port}"

    @property
    def url(self) -> str:
        """Base URL `http://127.0.0.1:PORT`, without a trailing slash."""
        return f"http://{self.host}"

    @property
    def folder(self) -> Path:
        """Folder with the server's configuration and output."""
        if self._folder is None:
            raise RuntimeError(f"{self.kind} is not open")
        return self._folder

    @property
    def pid(self) -> int | None:
        """Process id of the server's first process while it runs. Other processes are its children."""
        return self._service.pid if self._service else None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{self.kind}-")))
            self._service = self._made()
            stack.callback(self.stop)
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self) -> None:
        """Start the server again after `stop()` or `kill()`."""
        if self._service is None:
            raise RuntimeError(f"{self.kind} is not open")
        self._service.start()

    def stop(self) -> int | None:
        """Stop the server with SIGTERM and return its exit code, or None if it did not run.

        Connections are refused afterwards.
        """
        return self._service.stop() if self._service else None

    def kill(self) -> None:
        """Kill the server and all of its processes with SIGKILL."""
        if self._service is not None:
            self._service.kill()

    @abstractmethod
    def _made(self) -> Service:
        """Write the configuration into `folder` and return the service, not yet started."""
