"""Bounded reading of the signatures of a manifest: those under the tag of cosign, and referrers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mirror.oci import Descriptor, Digest, Repository, Tag
from mirror.oci.errors import NotFound, UpstreamFault
from mirror.registry.port import Reader, ReadLister
from mirror.signing.claim import SignatureUnreadable
from mirror.signing.public_keys import PublicKey
from mirror.signing.signature_formats import (
    MOST_DOCUMENT_BYTES,
    SIMPLE_SIGNING,
    StoredSignature,
    is_bundle,
    is_notation,
    is_signature_artifact,
    of_bundle,
    of_simple_signing,
)
from mirror.signing.signature_verification import CheckedSignature, check_signature, unread
from mirror.wire.pagination import PageRequest
from mirror.wire.referrers_fallback import fallback_tag

#: Most manifests with signatures that are read, and most signatures in them together.
MOST_MANIFESTS: Final = 64
MOST_SIGNATURES: Final = 256
#: Most referrers that are looked at, of whatever type.
_MOST_REFERRERS: Final = 10_000
_MOST_MANIFEST_BYTES: Final = 256 * 1024
#: Problem of what only an upstream has that fails. One text, so that a pull changes no record while the upstream fails.
_UNAVAILABLE: Final = "an upstream could not be asked for it"
#: Hexadecimal digits of a digest that people see.
_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class FoundSignature:
    """A signature of a manifest, or what claims to be one.

    Attributes:
        what: format and place, for people: ``cosign signature sha256:0123456789ab``.
        stored: the signature; the reason, as text, if it cannot be read.
        is_temporary: True if it could not be read because an upstream failed.
    """

    what: str
    stored: StoredSignature | str
    is_temporary: bool = False


async def checked_signatures(
    registry: ReadLister, repository: Repository, digest: Digest, keys: Sequence[PublicKey], now: datetime
) -> tuple[CheckedSignature, ...]:
    """Return the signatures of a manifest that its repository holds, verified with some keys.

    Args and errors as for :func:`read_signatures` and :func:`mirror.signing.signature_verification.check_signature`.
    """
    checked: list[CheckedSignature] = []
    for each in await read_signatures(registry, repository, digest):
        if isinstance(each.stored, str):
            checked.append(unread(each.what, each.stored, is_temporary=each.is_temporary))
        else:
            checked.append(check_signature(each.stored, each.what, keys, digest, now))
            await asyncio.sleep(0)  # hundreds of signatures and a dozen keys take half a second
    return tuple(checked)


async def read_signatures(registry: ReadLister, repository: Repository, digest: Digest) -> Sequence[FoundSignature]:
    """Return the signatures of a manifest that its repository holds.

    At most :data:`MOST_MANIFESTS` manifests and :data:`MOST_SIGNATURES` signatures are read. If there are more, the
    last entry says so.

    Raises:
        MirrorError: any error of the registry. Content that is missing, and an upstream that fails, are told in the
            entry of a signature instead.
    """
    found: list[FoundSignature] = []
    manifests = 0
    async for what, place in _manifests(registry, repository, digest):
        manifests += 1
        if manifests > MOST_MANIFESTS:
            found.append(FoundSignature("a further signature", f"more than {MOST_MANIFESTS} manifests with signatures"))
            break
        found += await _of_manifest(registry, repository, what, place)
        if len(found) > MOST_SIGNATURES:
            del found[MOST_SIGNATURES:]
            found.append(FoundSignature("a further signature", f"more than {MOST_SIGNATURES} signatures"))
            break
    return found


async def _manifests(
    registry: ReadLister, repository: Repository, digest: Digest
) -> AsyncIterator[tuple[str, Descriptor | FoundSignature]]:
    tag, what = Tag(f"{fallback_tag(digest)}.sig"), "cosign signature"
    try:
        tagged: Descriptor | FoundSignature | None = await registry.resolve(repository, tag)
    except NotFound:
        tagged = None
    except UpstreamFault:
        tagged = FoundSignature(f"{what} under the tag {tag}", _UNAVAILABLE, is_temporary=True)
    if tagged is not None:
        yield what, tagged
    page, left = PageRequest(), _MOST_REFERRERS
    while left > 0:
        listed = await registry.list_referrers(repository, digest, None, page)
        for referrer in listed.entries[:left]:
            if is_signature_artifact(referrer.artifact_type):
                yield _kind(referrer.artifact_type or ""), referrer
        if listed.is_partial:
            yield "", FoundSignature("a signature at an upstream", _UNAVAILABLE, is_temporary=True)
        left -= len(listed.entries)
        # A page may be shorter than asked for although more follow.
        if not listed.more or not listed.entries:
            return
        page = PageRequest(last=str(listed.entries[-1].digest))


def _kind(artifact_type: str) -> str:
    if is_notation(artifact_type):
        return "notation signature"
    return "Sigstore bundle" if is_bundle(artifact_type) else "cosign signature"


async def _of_manifest(
    registry: Reader, repository: Repository, kind: str, place: Descriptor | FoundSignature
) -> Sequence[FoundSignature]:
    if isinstance(place, FoundSignature):
        return [place]
    what = f"{kind} {place.digest.algorithm}:{place.digest.hex[:_SHOWN]}"
    if is_notation(place.artifact_type):
        return [FoundSignature(what, "signatures of notation are not verified")]
    if place.size_bytes > _MOST_MANIFEST_BYTES:
        return [FoundSignature(what, f"its manifest is larger than {_MOST_MANIFEST_BYTES} bytes")]
    try:
        manifest = await registry.get_manifest(repository, place.digest)
        found = [
            each
            for layer in manifest.layers[:MOST_SIGNATURES]
            for each in await _of_layer(registry, repository, what, layer)
        ]
        # A referrer that is pulled through is listed without its upstream once all that it names is here.
        if manifest.config is not None:
            with suppress(SignatureUnreadable):
                await _read(registry, repository, manifest.config)
    except NotFound as error:
        return [FoundSignature(what, error.message)]
    except UpstreamFault:
        return [FoundSignature(what, _UNAVAILABLE, is_temporary=True)]
    return found or [FoundSignature(what, "its manifest has no signature of a known format")]


async def _of_layer(registry: Reader, repository: Repository, what: str, layer: Descriptor) -> Sequence[FoundSignature]:
    if layer.media_type != SIMPLE_SIGNING and not is_bundle(layer.media_type):
        return ()
    try:
        content = await _read(registry, repository, layer)
        if layer.media_type == SIMPLE_SIGNING:
            return [FoundSignature(what, of_simple_signing(content, layer.annotations))]
        return [FoundSignature(what, stored) for stored in of_bundle(content)]
    except (NotFound, SignatureUnreadable) as error:
        return [FoundSignature(what, str(error))]
    except UpstreamFault:
        return [FoundSignature(what, _UNAVAILABLE, is_temporary=True)]


async def _read(registry: Reader, repository: Repository, layer: Descriptor) -> bytes:
    if layer.size_bytes > MOST_DOCUMENT_BYTES:
        raise SignatureUnreadable(f"it is larger than {MOST_DOCUMENT_BYTES} bytes")
    async with registry.open_blob(repository, layer.digest, None, layer.size_bytes) as blob:
        if blob.size_bytes > MOST_DOCUMENT_BYTES:
            raise SignatureUnreadable(f"it is larger than {MOST_DOCUMENT_BYTES} bytes")
        content = b"".join([chunk async for chunk in blob])
    if Digest.of(content, layer.digest.algorithm) != layer.digest:
        raise SignatureUnreadable("its bytes have another digest")
    return content
