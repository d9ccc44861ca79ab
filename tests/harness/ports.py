"""Free TCP ports on loopback."""

import socket


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that was free a moment ago.

    The port is released before this function returns, and another program may take it. Start the server right away.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
