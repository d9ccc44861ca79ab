"""A network of its own, with a loopback that can lose packets: `netns` and `iptables`, and so root.

`tc netem` would do more, and is not in every kernel; the `statistic` match is.
"""

import ctypes
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from tests.harness.command import SYSTEM_PATH, CommandFailedError, run

Given = TypeVar("Given")

_CLONE_NEWNET = 0x40000000


def missing() -> str | None:
    """What is needed first, or None."""
    if os.geteuid() != 0:
        return "a network of its own needs root"
    for program, package in (("ip", "iproute2"), ("iptables", "iptables")):
        if shutil.which(program, path=SYSTEM_PATH) is None:
            return f"{program} is not installed (Debian: apt-get install {package})"
    return None


def in_own_network(work: Callable[[], Given]) -> Given:
    """Do `work` in a thread that has a network with nothing but a loopback, as has all that it starts."""

    def apart() -> Given:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        run(["ip", "link", "set", "lo", "up"])
        return work()

    with ThreadPoolExecutor(1) as thread:  # the network goes with the thread, and the last process in it
        return thread.submit(apart).result()


@contextmanager
def losing(port: int, *, share: float) -> Iterator[None]:
    """Lose that share of all packets to and from a TCP port, 1 being everything. Only in a network of its own."""
    rules = [
        ["INPUT", "-p", "tcp", end, str(port), "-m", "statistic", "--mode", "random", "--probability", str(share)]
        for end in ("--sport", "--dport")
    ]
    if run(["ip", "-o", "link"]).stdout.count("\n") != 1:
        raise RuntimeError("this is not a network of its own")
    for rule in rules:
        _iptables("-A", *rule)
    try:
        yield
    finally:
        for rule in rules:
            _iptables("-D", *rule)


def impossible() -> str | None:
    """Why this kernel, or this container, does not lose packets, or None."""

    def attempt() -> None:
        with losing(9, share=0.5):
            pass

    try:
        in_own_network(attempt)
    except (CommandFailedError, OSError) as error:
        return f"no packets can be lost here: {error}"
    return None


def _iptables(*arguments: str) -> None:
    run(["iptables", "-w", *arguments, "-j", "DROP"])
