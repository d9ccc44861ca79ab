"""Free TCP ports on loopback."""

import socket


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that was free a moment ago.

    The port is released before it is returned, so another program may take it; start the server right away.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
