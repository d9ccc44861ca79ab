"""An address on loopback that swallows whoever connects to it: no answer, no refusal."""

import socket
from contextlib import ExitStack
from types import TracebackType
from typing import Self

_MOST_WAITING = 16
_PATIENCE_SECONDS = 0.2


class BlackHole:
    """A port of 127.0.0.1 whose queue of connections is full and stays so: the kernel drops each further SYN.

    As a context manager it is there inside the block.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.port = 0

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            self.port = listener.getsockname()[1]
            for _ in range(_MOST_WAITING):
                try:
                    waiting = socket.create_connection(("127.0.0.1", self.port), timeout=_PATIENCE_SECONDS)
                except TimeoutError:
                    break
                stack.enter_context(waiting)
            else:
                raise RuntimeError("the kernel takes every connection")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
