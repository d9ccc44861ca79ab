"""Goes the way from a host to a registry, step by step, as an engine does, and collects what it finds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

from mirror.hosts.checks.host_files import why_unseen
from mirror.hosts.engine_address import EngineAddress
from mirror.hosts.engine_api import EngineReader, RegistryLogin
from mirror.hosts.route.docker_files import docker_folder, read_daemon_file, read_trust_folder
from mirror.hosts.route.route_client import RouteClient, read_manifest
from mirror.hosts.route.route_connections import connect, engine_tls, resolve, shake_hands, unverified_tls
from mirror.hosts.route.route_facts import (
    ContentAnswers,
    EngineView,
    RegistryPlace,
    RouteAnswer,
    RouteFacts,
    TlsOutcome,
)
from mirror.oci import Manifest, Reference
from mirror.oci.errors import MirrorError
from mirror.oci.printable_text import printable
from mirror.runtime.concurrency.threads import in_thread

#: Most seconds for an answer of the engine about itself.
ENGINE_SECONDS: Final = 20.0
#: Most blobs that are asked for at a time, and at all.
_BLOBS_AT_A_TIME: Final = 4
_MOST_BLOBS: Final = 200
#: Most tags that are named in place of a missing one.
_MOST_TAGS: Final = 5


def without_engine(address: EngineAddress, place: RegistryPlace, why: str, *, is_expected: bool) -> EngineView:
    """Return what is known of a host whose engine cannot be asked: its files. Blocks.

    Args:
        address: address of the engine.
        place: the registry.
        why: reason why the engine cannot be asked.
        is_expected: see :class:`EngineView`.
    """
    view = EngineView(str(address), problem=why, is_expected=is_expected)
    return _with_files(view, place, {}, rootless=False) if address.is_socket else view


async def ask_view(
    engine: EngineReader, address: EngineAddress, place: RegistryPlace, environment: Mapping[str, str]
) -> EngineView:
    """Return what an engine tells about itself, with the files of its host if this program runs there.

    Raises:
        EngineFault: the engine cannot be asked.
        TimeoutError: the engine does not answer in time.
    """
    async with asyncio.timeout(ENGINE_SECONDS):
        view = EngineView(str(address), await engine.version(), await engine.info(), is_expected=True)
    if view.version is None or view.info is None:
        raise AssertionError("the engine has answered")
    if not address.is_socket:
        return view
    unseen = await in_thread(why_unseen, view.version, view.info)
    if unseen:
        return view
    rootless = view.info.has_security_option("rootless")
    return await in_thread(_with_files, view, place, environment, rootless=rootless)


def _with_files(
    view: EngineView, place: RegistryPlace, environment: Mapping[str, str], *, rootless: bool
) -> EngineView:
    folder = docker_folder(environment, rootless=rootless)
    return replace(view, daemon=read_daemon_file(folder), trust=read_trust_folder(folder, place.authority))


@asynccontextmanager
async def walked(
    place: RegistryPlace,
    engine: EngineView,
    reference: Reference | None,
    login: RegistryLogin | None,
    tell: Callable[[str], None],
) -> AsyncIterator[tuple[RouteFacts, RouteClient | None]]:
    """Go the way to a registry, as far as it goes.

    Args:
        place: the registry.
        engine: the engine of the host.
        reference: content to ask for; None to stop at the API.
        login: login that the user has at the registry; None to ask anonymously.
        tell: receives the step that begins, for people who wait.

    Yields:
        The facts, and a client of the registry for further questions; None if the registry does not answer.
    """
    tell(f"looking up {place.name}")
    addresses, unresolved = await resolve(place)
    facts = RouteFacts(place, engine, addresses, unresolved)
    if not addresses:
        yield facts, None
        return
    tell(f"connecting to {place.authority}")
    facts = await _connected(facts)
    plain = facts.speaks_plain_http
    if not plain and (facts.tls is None or not facts.tls.is_tls):
        yield facts, None
        return
    tell(f"asking {place.authority}")
    verified = not facts.may_use_http
    tls = await in_thread(engine_tls, engine.trust) if verified else unverified_tls()
    # With a certificate that the engine refuses, the rest of the way is looked at all the same.
    if facts.tls is not None and facts.tls.is_tls and facts.tls.outcome is not TlsOutcome.VERIFIED:
        tls = unverified_tls()
    version = engine.version
    async with RouteClient.open(place, plain=plain, tls=tls, engine=version, login=login) as client:
        facts = replace(facts, api=facts.plain if plain else await client.ping())
        if reference is not None and facts.api is not None and facts.api.status in {200, 401}:
            facts = replace(facts, content=await _content(client, reference, tell))
        elif facts.api is not None and facts.api.status == 401:
            await client.log_in(facts.api)
        yield replace(facts, token=client.token), client


async def _connected(facts: RouteFacts) -> RouteFacts:
    """Connect to each address, and find out if the server speaks TLS or plain HTTP."""
    place = facts.place
    port = place.port_for(plain=False)
    attempts = tuple(await asyncio.gather(*(connect(address, port) for address in facts.addresses)))
    open_one = next((attempt for attempt in attempts if not attempt.problem), None)
    facts = replace(facts, attempts=attempts)
    if open_one is not None:
        trust = facts.engine.trust
        facts = replace(facts, tls=await shake_hands(place, open_one, await in_thread(engine_tls, trust)))
    elif place.port is not None:
        return facts
    if facts.tls is not None and facts.tls.is_tls:
        return facts
    async with RouteClient.open(
        place, plain=True, tls=unverified_tls(), engine=facts.engine.version, login=None
    ) as client:
        return replace(facts, plain=await client.ping())


async def _content(client: RouteClient, reference: Reference, tell: Callable[[str], None]) -> ContentAnswers:
    """Ask for the manifest of a reference, and for each blob that it names."""
    tell(f"asking for {reference}")
    repository, target = reference.repository, reference.target
    answer = await client.manifest(repository, target)
    found = ContentAnswers(reference, answer)
    if answer.status == 404:
        return replace(found, tags=_tags(await client.tags(repository)))
    if answer.status != 200:
        return found
    try:
        manifest = read_manifest(answer, target)
    except MirrorError as error:
        return replace(found, unreadable=printable(str(error), 300))
    if not manifest.is_plugin:
        return replace(found, read=manifest)
    tell(f"asking for the blobs of {reference}")
    return replace(found, read=manifest, blobs=await _blobs(client, reference, manifest))


async def _blobs(client: RouteClient, reference: Reference, manifest: Manifest) -> dict[str, RouteAnswer]:
    slots = asyncio.Semaphore(_BLOBS_AT_A_TIME)

    async def ask(digest: str) -> RouteAnswer:
        async with slots:
            return await client.blob(reference.repository, wanted[digest])

    wanted = {str(blob.digest): blob.digest for blob in manifest.blobs[:_MOST_BLOBS]}
    return dict(zip(wanted, await asyncio.gather(*map(ask, wanted)), strict=True))


def _tags(answer: RouteAnswer) -> tuple[str, ...] | None:
    """Return the last tags of a list; None if the repository is unknown or the answer is not a list."""
    if answer.status != 200:
        return None
    with suppress(ValueError, RecursionError):
        value = json.loads(answer.body)
        listed = value.get("tags") if isinstance(value, dict) else None
        if listed is None or isinstance(listed, list):
            return tuple(printable(tag, 128) for tag in listed or () if isinstance(tag, str))[-_MOST_TAGS:]
    return None
