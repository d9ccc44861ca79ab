"""An HTTP server for tests that prints nothing when clients leave in the middle of an answer."""

from __future__ import annotations

import sys
from http.server import ThreadingHTTPServer
from typing import Any


class QuietHTTPServer(ThreadingHTTPServer):
    """A threading HTTP server without reports of broken connections. Load generators leave when their time is over."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report any error other than a broken connection."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
