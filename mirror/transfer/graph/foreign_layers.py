"""Foreign layers: layers that may be stored elsewhere, at the URLs that their descriptors name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

from mirror.oci import Descriptor, Digest, Manifest
from mirror.oci.errors import BlobUnknown, ConfigurationFault, MirrorError, NotFound, UpstreamFault, UpstreamRefused
from mirror.records.absent_content import AbsenceReason, AbsentContent
from mirror.registry.port import Blob, Reader
from mirror.transfer.blob_locks import map_concurrently
from mirror.transfer.graph.content_choice import ContentChoice, ForeignLayers
from mirror.transfer.graph.places import CopySource
from mirror.wire.ranges import RangeRequest

_ASKED_AT_ONCE = 4
#: Errors of an upstream without a blob. Some registries refuse access to blobs that they do not have.
_LACKING = (NotFound, UpstreamRefused)


@runtime_checkable
class ReadsUrls(Protocol):
    """Registry that can read a layer from another server."""

    def open_url(
        self, url: str, layer: Descriptor, part: RangeRequest | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        """Open a layer at a URL, without any credentials.

        Raises:
            UpstreamFault: the server does not have the layer, fails, or must not be asked.
        """
        ...


def open_url(
    registry: Reader, url: str, layer: Descriptor, part: RangeRequest | None = None
) -> AbstractAsyncContextManager[Blob]:
    """Open a layer at a URL, see :class:`ReadsUrls`. Sources that wrap a source forward the call with this function.

    Raises:
        BlobUnknown: the registry cannot read from other servers.
    """
    if not isinstance(registry, ReadsUrls):
        raise BlobUnknown(f"no other server is asked for the foreign layer {layer.digest}", digest=layer.digest)
    return registry.open_url(url, layer, part)


@dataclass(frozen=True, slots=True)
class ForeignPlan:
    """Foreign layers to copy.

    Attributes:
        blobs: the layers to copy.
        by_url: digests of the layers to read from their URLs.
    """

    blobs: tuple[Descriptor, ...] = ()
    by_url: frozenset[Digest] = frozenset()

    def may_lack(self, blob: Descriptor, error: MirrorError) -> bool:
        """Return True if a copy goes on without a blob that could not be read."""
        # The server of a layer read by its URL is not the upstream, so none of its faults stops the copy.
        return blob.digest in self.by_url or (blob in self.blobs and isinstance(error, _LACKING))


async def plan_foreign(origin: CopySource, layers: Collection[Descriptor], choice: ContentChoice) -> ForeignPlan:
    """Find the places of foreign layers. Layers without a place are left out.

    Args:
        origin: repository that may hold the layers.
        layers: foreign layers that the destination does not hold.
        choice: allowed places.
    """
    if choice.foreign_layers is ForeignLayers.LEAVE:
        return ForeignPlan()

    async def is_held(layer: Descriptor) -> bool:
        try:
            return (await origin.registry.stat_blob(origin.repository, layer.digest)).size_bytes == layer.size_bytes
        except _LACKING:
            return False

    found = await map_concurrently(_ASKED_AT_ONCE, is_held, layers)
    held = [layer for layer, is_there in zip(layers, found, strict=True) if is_there]
    reads = isinstance(origin.registry, ReadsUrls)
    elsewhere = [layer for layer in layers if reads and layer not in held and _allowed_urls(layer, choice)]
    return ForeignPlan((*held, *elsewhere), frozenset(layer.digest for layer in elsewhere))


@asynccontextmanager
async def open_foreign(
    origin: CopySource, layer: Descriptor, choice: ContentChoice, part: RangeRequest | None
) -> AsyncIterator[Blob]:
    """Open a foreign layer at the first of its allowed URLs that has the layer.

    Raises:
        BlobUnknown: no URL is allowed.
        MirrorError: every URL failed. This is the first failure.
    """
    failure: MirrorError = BlobUnknown(f"no allowed URL names the foreign layer {layer.digest}", digest=layer.digest)
    async with AsyncExitStack() as stack:
        for url in _allowed_urls(layer, choice):
            try:
                blob = await stack.enter_async_context(open_url(origin.registry, url, layer, part))
            except MirrorError as error:
                failure = failure if isinstance(failure, UpstreamFault) else error
                continue
            yield blob
            return
    raise failure


def absent_layers(
    manifests: Iterable[Manifest], left_out: Mapping[Digest, str]
) -> dict[Digest, tuple[AbsentContent, ...]]:
    """Return the absent foreign layers of each manifest that has foreign layers.

    Args:
        manifests: manifests of the copy.
        left_out: settings under which layers are left out, by the digest of the layer.
    """
    return {
        manifest.digest: tuple(
            AbsentContent(manifest.digest, layer.digest, AbsenceReason.FOREIGN, left_out[layer.digest])
            for layer in manifest.foreign_layers
            if layer.digest in left_out
        )
        for manifest in manifests
        if manifest.foreign_layers
    }


def check_foreign_host(host: str) -> None:
    """Check a host of the setting ``foreign_hosts``.

    Raises:
        ConfigurationFault: the text is not a host.
    """
    if _host(host if "://" in host else f"https://{host}") != host.lower():
        raise ConfigurationFault(f"{host[:80]!r} is not a host; fix: write HOST, HOST:PORT or http://HOST:PORT")


def _allowed_urls(layer: Descriptor, choice: ContentChoice) -> tuple[str, ...]:
    if choice.foreign_layers is not ForeignLayers.URLS:
        return ()
    allowed = {host.lower() for host in choice.foreign_hosts}
    return tuple(url for url in layer.urls if _host(url) in allowed)


def _host(url: str) -> str | None:
    """Return the host of a URL as written in ``foreign_hosts``. None for URLs with a user, and for other schemes."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for a port that is no number
    except ValueError:
        return None
    named = parts.netloc.lower()
    if not parts.hostname or "@" in named or not named.isascii():
        return None
    return {"https": named, "http": f"http://{named}"}.get(parts.scheme)
