"""Commands ``pack``, ``unpack``, ``capture``, ``tag`` and ``derive``, which create, open and name plugins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from mirror.app.bundles.signature_check import SignatureCheck
from mirror.app.services import open_services, open_store
from mirror.authoring.derive import Renamed, derive
from mirror.authoring.files.layout_file import LayoutFile
from mirror.authoring.files.layout_reference import LayoutReference
from mirror.authoring.tag import Named, tag
from mirror.authoring.unpack import Unpacked, unpack
from mirror.filters.admission.admit import Admit
from mirror.lifecycle.content_holding import holding
from mirror.oci import Reference, Repository, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.plugin.build.derivation_changes import DerivationChanges
from mirror.records.admission.arrivals import ContentSource, coming_from
from mirror.records.lifecycle.content_holders import HolderPurpose
from mirror.registry.port import Registry
from mirror.runtime.clock import SystemClock
from mirror.runtime.os_user import os_user_name
from mirror.settings import Settings
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.derive_copy import DerivedCopyMaker
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import Progress

Result = TypeVar("Result")
_UNCHECKED: Final = SignatureCheck()
#: Characters of the name of an upstream in the catalog.
_LONGEST_UPSTREAM: Final = 64


async def build_plugin(
    settings: Settings,
    reference: Reference,
    build: Callable[[CopyDestination, Tag], Awaitable[Result]],
    *,
    output: Path | None = None,
    plain_http: bool = False,
) -> Result:
    """Build a plugin and store it in the place that :func:`open_destination` opens.

    Args:
        settings: see :func:`open_destination`.
        reference: see :func:`open_destination`. The tag is ``latest`` if the reference has none.
        build: function that builds the plugin at a destination: :func:`mirror.authoring.pack.pack` or
            :func:`mirror.authoring.capture.capture`.
        output: see :func:`open_destination`.
        plain_http: see :func:`open_destination`.
    """
    async with open_destination(settings, reference, output=output, plain_http=plain_http) as destination:
        return await build(destination, reference.tag or Tag("latest"))


async def unpack_plugin(
    settings: Settings,
    reference: Reference | LayoutReference,
    folder: Path,
    progress: Progress,
    *,
    plain_http: bool = False,
    check: SignatureCheck = _UNCHECKED,
) -> Unpacked:
    """Unpack a plugin into a folder from which it can be created again, see :func:`mirror.authoring.unpack.unpack`."""
    if isinstance(reference, LayoutReference):
        from mirror.app.bundles.bundle_opening import open_layout

        async with open_layout(settings, reference.file, check) as layout:
            named = reference.reference
            return await unpack(layout, named.repository, named.target, folder, progress)
    if reference.host is not None:
        # Imported where needed: commands on the local store then start without the HTTP client.
        from mirror.app.upstream_registries import open_remote

        async with open_remote(settings, reference.host, plain_http=plain_http) as registry:
            return await unpack(registry, reference.repository, reference.target, folder, progress)
    async with open_store(settings, only_reads=True) as store:
        return await unpack(store, reference.repository, reference.target, folder, progress)


@asynccontextmanager
async def open_destination(
    settings: Settings, reference: Reference, *, output: Path | None = None, plain_http: bool = False
) -> AsyncIterator[CopyDestination]:
    """Open the place where a built plugin is stored.

    Args:
        settings: location of the local store, and logins for other registries.
        reference: registry and repository.
        output: OCI image layout file to write instead; None to write to the registry.
        plain_http: True to use ``http://``, see :func:`mirror.app.upstream_registries.open_anonymously`.
    """
    if output is not None:
        async with LayoutFile.create(output) as layout:
            yield CopyDestination(layout, reference.repository)
    elif reference.host is not None:
        from mirror.app.upstream_registries import open_remote

        async with open_remote(settings, reference.host, plain_http=plain_http) as registry:
            yield CopyDestination(registry, reference.repository)
    else:
        async with open_services(settings) as services:
            checked = services.checked(services.store)
            yield CopyDestination(checked, reference.repository, services.layers.remember)


async def tag_reference(settings: Settings, reference: Reference, repository: Repository, name: Tag) -> Named:
    """Give a manifest in the local store another name. Plugins are judged under the new name, and not checked again.

    Raises:
        ConfigurationFault: the reference is to another registry.
        MirrorError: see :func:`mirror.authoring.tag.tag`.
    """
    if reference.host is not None:
        raise ConfigurationFault(
            f"{reference} is at {reference.host}, and only content of the local store can be tagged; fix: "
            "add a rule under mirrors: and run 'plugin-mirror sync', or copy it with 'plugin-mirror derive'"
        )
    # Checks look at content alone, which a tag does not change. Policies and rejections may depend on the name.
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(open_services(settings, must_exist=True))
        admitted = Admit(services.store, services.judge)
        absent = services.store.records.absent
        held = [(reference.repository, None), (repository, None)]
        await stack.enter_async_context(
            holding(services.store.records.holders, HolderPurpose.TAG, f"{repository}:{name}", held)
        )
        return await tag(admitted, reference.repository, reference.target, repository, name, absent=absent)


async def derive_reference(
    settings: Settings,
    reference: Reference,
    new: tuple[Repository, Tag],
    changes: DerivationChanges,
    progress: Progress,
    *,
    plain_http: bool = False,
) -> Renamed:
    """Make a derived copy of a plugin in the local store.

    Args:
        settings: location of the store, and the plugin checks and policy.
        reference: the original, in the local store or in another registry.
        new: repository and tag of the copy.
        changes: changes to make.
        progress: receiver of the progress of layers.
        plain_http: see :func:`mirror.app.upstream_registries.open_anonymously`.

    Returns:
        The copy, with its original, its tag and its differences.

    Raises:
        MirrorError: see :func:`mirror.authoring.derive.derive`.
    """
    repository, name = new
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(open_services(settings, must_exist=reference.host is None))
        store, source = services.store, str(reference.repository)
        reader: Registry = store
        if reference.host is not None:
            from mirror.app.upstream_registries import open_anonymously

            source = f"{reference.host}/{source}"
            reader = await stack.enter_async_context(open_anonymously(reference.host, plain_http=plain_http))
        held = [(reference.repository, None), (repository, None)]
        await stack.enter_async_context(
            holding(store.records.holders, HolderPurpose.DERIVE, f"{repository}:{name}", held)
        )
        came_from = ContentSource(_upstream_at(settings, reference.host), reference.repository)
        stack.enter_context(coming_from(came_from))
        return await derive(
            CopySource(reader, reference.repository),
            reference.target,
            CopyDestination(services.checked(store), repository),
            name,
            changes,
            # The original is stored beside the copy. It may be denied by rules, which the copy may satisfy, but must
            # not be rejected.
            keep=CopyDestination(Admit(store, services.ruleless_judge), repository),
            source=source,
            maker=DerivedCopyMaker(
                f"user {os_user_name()}", store.records.derivations, services.layers.of(store), SystemClock().now
            ),
            progress=progress,
            locks=BlobLocks(store.downloads),
        )


def _upstream_at(settings: Settings, host: str | None) -> str:
    """Return the name of the upstream at a host, or the host. Empty for the local store."""
    at_host = (name for name, section in settings.upstreams.items() if urlsplit(section.url).netloc == host)
    return next(at_host, (host or "")[:_LONGEST_UPSTREAM])
