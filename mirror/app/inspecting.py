"""``inspect``: what a reference stands for, and where it came from."""

from __future__ import annotations

import socket
from dataclasses import replace

from mirror.app.stores import open_reader, open_store
from mirror.oci.names import Reference
from mirror.settings import Settings
from mirror.store.registry import Store
from mirror.workshop.inspect import Inspection, Provenance, inspect


async def inspect_reference(settings: Settings, reference: Reference, *, plain_http: bool = False) -> Inspection:
    """What a reference stands for, with what is known to be wrong with it. Arguments as for :func:`open_reader`."""
    if reference.host is not None:
        async with open_reader(settings, reference.host, plain_http=plain_http) as reader:
            return await inspect(reader, reference.repository, reference.target)
    async with open_store(settings, must_exist=True) as store:
        found = await inspect(store, reference.repository, reference.target, store.recorded_findings)
        derivation = await store.derivation(found.manifest.digest)
        return replace(found, origin=await _provenance(store, found), derivation=derivation)


async def _provenance(store: Store, found: Inspection) -> Provenance | None:
    """Where something in our own store came from."""
    pulled = await store.origin(found.repository, found.target)
    if pulled is not None:
        return Provenance("pulled through", pulled.upstream, pulled.source, pulled.checked_at)
    for mirrored in (await store.mirrored(found.repository)).values():
        names = {mirrored.tag, mirrored.digest, mirrored.original}  # the original of a copy with changes has no tag
        if found.manifest.digest in {mirrored.digest, mirrored.original} and found.target in names:
            return Provenance("mirrored", mirrored.upstream, mirrored.source, mirrored.brought_at)
    return None


def advertised_host(settings: Settings) -> str:
    """``HOST:PORT`` as Docker hosts reach us: what we listen on, or this machine's name where that is every address."""
    listen_on = settings.server.listen
    if listen_on.host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return f"{socket.gethostname()}:{listen_on.port}"
    return str(listen_on)
