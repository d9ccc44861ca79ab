"""Lack of file descriptors: one line in the log a minute, however many connections and requests meet it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from mirror.oci.errors import TooManyOpenFiles
from mirror.server.http.refusal_log import RefusalLog

#: Requests and connections of this process that found no file descriptor.
SHORTAGE: Final = RefusalLog("open files (ulimit -n)")


def handle_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handle an error outside of all tasks. To be set as the exception handler of the event loop.

    asyncio reports each connection that it cannot accept, with a stack trace. It tries again after one second.
    """
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in TooManyOpenFiles.ERRNOS:
        SHORTAGE.add("")
    else:
        loop.default_exception_handler(context)
