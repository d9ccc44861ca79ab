"""The server under test: in this process with any rights, or as its real program with two workers."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Collection, Coroutine, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirror.access.rights import AccessAction, Rights
from mirror.filters.authorize import AnonymousRights, Authorize
from mirror.oci import Digest, Repository
from mirror.registry.streams import single_chunk
from mirror.server.http.server_limits import ServerLimits
from mirror.server.http_application import build
from mirror.server.http_server import Listener, listen, serving
from mirror.store.registry import Store

_PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Inside:
    """A server in this process, in a thread of its own.

    Attributes:
        port: its port on the loopback.
        run: runs a function of the server's store in that thread, and returns the result.
    """

    port: int
    run: Callable[[Callable[[Store], Coroutine[Any, Any, Any]]], Any]


@contextmanager
def inside(
    rights: Rights | Collection[AccessAction] = tuple(AccessAction), limits: ServerLimits | None = None
) -> Iterator[Inside]:
    """Serve an empty store in this process.

    Args:
        rights: rights of every caller.
        limits: limits of the server; None: the defaults.
    """
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    everyone = AnonymousRights(frozenset(rights)) if isinstance(rights, Collection) else rights
    opened: Future[tuple[asyncio.AbstractEventLoop, Store]] = Future()
    stopped = asyncio.Event()

    async def serve(folder: Path) -> None:
        async with (
            Store.open(folder) as store,
            serving(build(Authorize(store, everyone), limits=limits), Listener(listener)),
        ):
            opened.set_result((asyncio.get_running_loop(), store))
            await stopped.wait()

    with tempfile.TemporaryDirectory(prefix="served-") as folder, ThreadPoolExecutor(1) as pool:
        served = pool.submit(asyncio.run, serve(Path(folder) / "data"))
        wait((opened, served), _PATIENCE_SECONDS, FIRST_COMPLETED)
        if served.done():
            served.result()  # raises the error that kept the server from starting
        loop, store = opened.result(0)

        def run(function: Callable[[Store], Coroutine[Any, Any, Any]]) -> Any:
            return asyncio.run_coroutine_threadsafe(function(store), loop).result(_PATIENCE_SECONDS)

        try:
            yield Inside(port, run)
        finally:
            loop.call_soon_threadsafe(stopped.set)
            served.result(_PATIENCE_SECONDS)


async def put_blob(store: Store, name: str, content: bytes, algorithm: str = "sha256") -> None:
    """Store a blob without the server, in a repository to which no client may push."""
    upload = await store.begin_upload(Repository(name))
    await upload.append(single_chunk(content))
    await upload.commit(Digest.of(content, algorithm))
