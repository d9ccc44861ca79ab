"""What every server of the tests has: a free port, a folder of its own, and a process that comes and goes."""

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

    As a context manager it runs inside the block. `stop()` and `kill()` keep what it has; `start()` serves it again on
    the same port; leaving the block removes everything.
    """

    #: What it is called in messages and names of folders.
    kind: ClassVar[str]

    def __init__(self, *, address: str = "127.0.0.1") -> None:
        self.port = free_port()
        self._address = address
        self._stack = ExitStack()
        self._service: Service | None = None
        self._folder: Path | None = None

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`, as it is written in references."""
        return f"{self._address}:{self.port}"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a slash at the end."""
        return f"http://{self.host}"

    @property
    def folder(self) -> Path:
        """Folder of what it is configured by, and what it writes."""
        if self._folder is None:
            raise RuntimeError(f"{self.kind} is not open")
        return self._folder

    @property
    def pid(self) -> int | None:
        """The process that was started first, while it runs; others are its children."""
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
        """Serve again after `stop()` or `kill()`."""
        if self._service is None:
            raise RuntimeError(f"{self.kind} is not open")
        self._service.start()

    def stop(self) -> int | None:
        """End the server as an operator would; its exit code. Connections are refused from now on."""
        return self._service.stop() if self._service else None

    def kill(self) -> None:
        """End the server, and all processes that it has, by SIGKILL."""
        if self._service is not None:
            self._service.kill()

    @abstractmethod
    def _made(self) -> Service:
        """The process, configured in `folder`, and not begun."""
