"""Gathers the facts of a host: asks its engine, and reads the file system if the engine runs on this host."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from mirror.hosts.checks.host_facts import HostFacts, RegistryAnswer
from mirror.hosts.checks.host_files import read_host_files, why_unseen
from mirror.hosts.engine_api import EngineReader
from mirror.hosts.engine_errors import EngineRefused
from mirror.runtime.concurrency.threads import in_thread

_ROOT: Final = Path("/")


async def ask_engine(engine: EngineReader, remote: str, host: str) -> HostFacts:
    """Return the facts that an engine tells, and its answer about a plugin at a registry.

    Args:
        engine: engine of the host.
        remote: reference of the plugin, as the engine reaches it.
        host: registry in the reference.

    Raises:
        EngineFault: the engine cannot be asked.
    """
    version, info, plugins = await engine.version(), await engine.info(), await engine.plugins()
    try:
        answer = RegistryAnswer(await engine.remote_digest(remote))
    except EngineRefused as error:
        answer = RegistryAnswer(None, error.said)
    return HostFacts(
        version, info, plugins, answer, await registry_addresses(host), unseen="the engine is reached over TCP"
    )


async def with_files(facts: HostFacts, paths: Sequence[str], root: Path = _ROOT) -> HostFacts:
    """Return facts with the file system of the host, if this program runs there.

    Args:
        facts: facts of an engine at a Unix socket.
        paths: paths of the host that the plugin needs.
        root: root folder of the file system.
    """
    unseen = await in_thread(why_unseen, facts.version, facts.info, root)
    if unseen:
        return replace(facts, unseen=unseen)
    files = await in_thread(read_host_files, paths, facts.version, facts.info, facts.plugins, root)
    return replace(facts, files=files, unseen="")


async def registry_addresses(host: str) -> tuple[str, ...]:
    """Return the addresses of a registry; empty if its name cannot be resolved."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))
