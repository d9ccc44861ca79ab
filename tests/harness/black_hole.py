"""A loopback address that neither accepts nor refuses connections."""

import socket
from contextlib import ExitStack
from types import TracebackType
from typing import Self

_MOST_WAITING = 16
_PATIENCE_SECONDS = 0.2


class BlackHole:
    """A port of 127.0.0.1 with a full accept queue, so that the kernel drops every further SYN.

    A context manager: the port behaves like this inside the block.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.port = 0

    @property
    def url(self) -> str:
        """Base URL `http://127.0.0.1:PORT`, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            self.port = listener.getsockname()[1]
            # The kernel queues a few more connections than the backlog says, so fill the queue until a connect hangs.
            for _ in range(_MOST_WAITING):
                try:
                    waiting = socket.create_connection(("127.0.0.1", self.port), timeout=_PATIENCE_SECONDS)
                except TimeoutError:
                    break
                stack.enter_context(waiting)
            else:
                raise RuntimeError(f"the accept queue is not full after {_MOST_WAITING} connections")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
