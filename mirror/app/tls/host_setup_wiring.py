"""Pages that help hosts to trust the server, as configured."""

from __future__ import annotations

import socket

from mirror.app.access_control import forwarded_headers
from mirror.runtime.clock import SystemClock
from mirror.server.api.host_setup_pages import HostSetupPages
from mirror.settings import Settings


def host_setup_pages(settings: Settings, listener: socket.socket) -> HostSetupPages:
    """Return the pages. Without ``server.tls.ca`` they answer 404 with the reason.

    Args:
        settings: settings of the server.
        listener: socket of ``server.listen``.

    Raises:
        ConfigurationFault: the file ``server.tls.ca`` cannot be read, or has no certificate.
    """
    tls = settings.server.tls
    ca = None if tls is None else tls.ca
    return HostSetupPages(forwarded_headers(settings), ca, listener.getsockname()[1], SystemClock())
