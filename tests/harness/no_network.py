"""A host without a network: the test and everything it starts have only a loopback interface.

Needs root and `ip`.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.command import run

#: Address for :func:`no_network` (RFC 5737). Engines verify certificates there, and nowhere in 127.0.0.0/8.
VERIFIED_ADDRESS = "192.0.2.1"
_CLONE_NEWNET = 0x40000000


@contextmanager
def no_network(*addresses: str) -> Iterator[None]:
    """Give the calling thread a network of its own while the block runs: a loopback interface, and no route.

    Processes and threads that the block starts have the same network. The kernel removes it with the last of them.

    Args:
        addresses: IPv4 addresses of this host in addition to 127.0.0.0/8.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _require(libc.unshare(_CLONE_NEWNET))
        try:
            run(["ip", "link", "set", "lo", "up"])
            for address in addresses:
                run(["ip", "address", "add", f"{address}/32", "dev", "lo"])
            yield
        finally:
            _require(libc.setns(before, _CLONE_NEWNET))
    finally:
        os.close(before)


def has_no_route() -> bool:
    """Return True if the calling thread has no route to any other machine."""
    routes = Path("/proc/thread-self/net/route").read_text().splitlines()[1:]
    routes6 = Path("/proc/thread-self/net/ipv6_route")
    others = [line for line in routes6.read_text().splitlines() if not line.endswith(" lo")] if routes6.exists() else []
    return not routes and not others


def _require(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
