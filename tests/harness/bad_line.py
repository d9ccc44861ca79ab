"""A private network namespace with a loopback interface that can lose packets.

Needs root, `ip` and `iptables`. `tc netem` could simulate more faults, but many kernels lack it. The iptables match
`statistic` is available more often.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from tests.harness.command import SYSTEM_PATH, CommandFailedError, run
from tests.harness.no_network import no_network

Given = TypeVar("Given")


def missing() -> str | None:
    """Return a sentence that names the missing privilege or program, or None if nothing is missing."""
    if os.geteuid() != 0:
        return "a private network namespace needs root"
    for program, package in (("ip", "iproute2"), ("iptables", "iptables")):
        if shutil.which(program, path=SYSTEM_PATH) is None:
            return f"{program} is not installed (Debian: apt-get install {package})"
    return None


def in_own_network(work: Callable[[], Given]) -> Given:
    """Run `work` in a thread with its own network namespace, which has only a loopback interface.

    Processes started by `work` share the namespace.
    """

    def apart() -> Given:
        with no_network():
            return work()

    # A dedicated thread, so that the test keeps its own network.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(apart).result()


@contextmanager
def losing(port: int, *, share: float) -> Iterator[None]:
    """Drop a random share of the packets to and from a TCP port while the block runs.

    Args:
        port: TCP port on the loopback interface.
        share: Share of packets to drop, from 0 to 1.

    Raises:
        RuntimeError: If the calling thread is not in its own network namespace (:func:`in_own_network`).
    """
    rules = [
        ["INPUT", "-p", "tcp", end, str(port), "-m", "statistic", "--mode", "random", "--probability", str(share)]
        for end in ("--sport", "--dport")
    ]
    # Rules in the machine's own network would disturb other programs. A private namespace has only `lo`.
    if run(["ip", "-o", "link"]).stdout.count("\n") != 1:
        raise RuntimeError("packets can be dropped only in a private network namespace: call in_own_network")
    for rule in rules:
        _iptables("-A", *rule)
    try:
        yield
    finally:
        for rule in rules:
            _iptables("-D", *rule)


def impossible() -> str | None:
    """Return the reason why this kernel or container cannot drop packets, or None if packets can be dropped."""

    def attempt() -> None:
        with losing(9, share=0.5):
            pass

    try:
        in_own_network(attempt)
    except (CommandFailedError, OSError) as error:
        return f"packets cannot be dropped here: {error}"
    return None


def _iptables(*arguments: str) -> None:
    run(["iptables", "-w", *arguments, "-j", "DROP"])
