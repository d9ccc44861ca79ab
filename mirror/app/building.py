"""``pack``, ``unpack`` and ``capture``: plugins made, opened and taken out, between files and registries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from yarl import URL

from mirror.app.stores import checked, layer_reading, open_reader, open_store
from mirror.app.upstreams import open_upstream
from mirror.oci.names import Reference, Tag
from mirror.registry.port import Registry
from mirror.settings import Settings
from mirror.transfer.copy import Destination
from mirror.transfer.progress import Progress
from mirror.workshop.capture import Captured, capture
from mirror.workshop.layout_file import LayoutFile
from mirror.workshop.layout_reader import LayoutReader, LayoutReference
from mirror.workshop.pack import Packed, Recipe, pack
from mirror.workshop.unpack import Unpacked, unpack


async def pack_plugin(
    settings: Settings,
    recipe: Recipe,
    reference: Reference,
    progress: Progress,
    *,
    output: Path | None = None,
    plain_http: bool = False,
) -> Packed:
    """Build a plugin and store it, see :func:`mirror.workshop.pack.pack` and :func:`open_destination`."""
    async with open_destination(settings, reference, output=output, plain_http=plain_http) as destination:
        return await pack(recipe, destination, reference.tag or Tag("latest"), progress)


async def unpack_plugin(
    settings: Settings,
    reference: Reference | LayoutReference,
    folder: Path,
    progress: Progress,
    *,
    plain_http: bool = False,
) -> Unpacked:
    """Give back the folder that a plugin can be created of, see :func:`mirror.workshop.unpack.unpack`."""
    if isinstance(reference, LayoutReference):
        async with LayoutReader.open(reference.file) as layout:
            named = reference.reference
            return await unpack(layout, named.repository, named.target, folder, progress)
    if reference.host is not None:
        async with open_remote(settings, reference.host, plain_http=plain_http) as registry:
            return await unpack(registry, reference.repository, reference.target, folder, progress)
    async with open_store(settings, must_exist=True) as store:
        return await unpack(store, reference.repository, reference.target, folder, progress)


async def capture_plugin(
    settings: Settings,
    plugin: str,
    reference: Reference,
    progress: Progress,
    *,
    docker_root: Path,
    output: Path | None = None,
    plain_http: bool = False,
) -> Captured:
    """Take a plugin out of an engine, see :func:`mirror.workshop.capture.capture` and :func:`open_destination`."""
    async with open_destination(settings, reference, output=output, plain_http=plain_http) as destination:
        return await capture(docker_root, plugin, destination, reference.tag or Tag("latest"), progress)


@asynccontextmanager
async def open_destination(
    settings: Settings, reference: Reference, *, output: Path | None = None, plain_http: bool = False
) -> AsyncIterator[Destination]:
    """Where something is put that was built here.

    Args:
        settings: where our own store is, and the logins for other registries.
        reference: the registry and the repository in it.
        output: a file to write instead, an OCI image layout.
        plain_http: whether ``http://`` is meant, see :func:`mirror.app.stores.open_reader`.
    """
    if output is not None:
        async with LayoutFile.create(output) as layout:
            yield Destination(layout, reference.repository)
    elif reference.host is not None:
        async with open_remote(settings, reference.host, plain_http=plain_http) as registry:
            yield Destination(registry, reference.repository)
    else:
        async with open_store(settings) as store:
            yield Destination(checked(store, store, settings, layer_reading(settings)), reference.repository)


@asynccontextmanager
async def open_remote(settings: Settings, host: str, *, plain_http: bool = False) -> AsyncIterator[Registry]:
    """Another registry: as its section under ``upstreams`` has it, where one has that host; else as nobody."""
    names = [name for name, section in settings.upstreams.items() if URL(section.url).authority == host]
    opened = open_upstream(settings, names[0]) if names else open_reader(settings, host, plain_http=plain_http)
    async with opened as registry:
        yield registry
