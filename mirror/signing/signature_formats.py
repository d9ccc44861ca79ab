"""Formats in which cosign stores signatures of a manifest.

A manifest with signatures has the tag ``sha256-….sig``, or is a referrer. Its layers are payloads of simple signing
with signatures in their annotations (cosign, specs/SIGNATURE_SPEC.md), or a Sigstore bundle with a statement in a DSSE
envelope (cosign, specs/BUNDLE_SPEC.md). Nothing in these documents is believed before a key has verified it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mirror.oci import Digest, Manifest, Tag
from mirror.oci.errors import ClientFault
from mirror.oci.strict_reading.strict_json import read_object
from mirror.signing.claim import STATEMENT_TYPE, SignatureUnreadable, SignedClaim
from mirror.signing.dsse import pre_authentication_encoding

#: Artifact type, and type of the config, of a referrer with signatures of simple signing.
COSIGN_ARTIFACT: Final = "application/vnd.dev.cosign.artifact.sig.v1+json"
SIMPLE_SIGNING: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
#: Annotation of a layer with the signature of its payload, in base64.
SIGNATURE_ANNOTATION: Final = "dev.cosignproject.cosign/signature"
_BUNDLE: Final = "application/vnd.dev.sigstore.bundle"
_NOTATION: Final = "application/vnd.cncf.notary.signature"
#: Beginnings of the artifact types of signatures: of cosign, of cosign in its newer form, of notation.
_ARTIFACTS: Final = ("application/vnd.dev.cosign.artifact.sig.", f"{_BUNDLE}.", f"{_BUNDLE}+", _NOTATION)
#: Largest document of a signature that is read. Those of cosign with a key have less than one KiB.
MOST_DOCUMENT_BYTES: Final = 64 * 1024
_SIGNATURE_TAG: Final = re.compile(r"sha256-([0-9a-f]{64})\.sig")
_MOST_SIGNATURE_CHARACTERS: Final = 4096
_MOST_IN_ENVELOPE: Final = 8


@dataclass(frozen=True, slots=True)
class StoredSignature:
    """One signature that nobody has verified yet.

    Attributes:
        value: bytes of the signature.
        signed: the bytes that it signs.
        payload: the document that these bytes carry.
        read: returns what the document says. Raises SignatureUnreadable.
    """

    value: bytes
    signed: bytes
    payload: bytes
    read: Callable[[bytes], SignedClaim]


def is_signature_artifact(artifact_type: str | None) -> bool:
    """Return True for the artifact type of a referrer with signatures in any known format, notation's included."""
    return (artifact_type or "").startswith(_ARTIFACTS)


def signed_subjects(manifest: Manifest, tags: Collection[Tag]) -> set[Digest]:
    """Return the digests of the content that a manifest with these tags is a signature of, by what it says itself."""
    found = {Digest("sha256", named[1]) for tag in tags if (named := _SIGNATURE_TAG.fullmatch(tag.name)) is not None}
    if manifest.subject is not None and is_signature_artifact(manifest.as_referrer().artifact_type):
        found.add(manifest.subject.digest)
    return found


def is_bundle(media_type: str) -> bool:
    """Return True for the media type of a Sigstore bundle of any version."""
    return media_type.startswith((f"{_BUNDLE}.", f"{_BUNDLE}+"))


def is_notation(artifact_type: str | None) -> bool:
    """Return True for signatures of notation, which nobody verifies here."""
    return (artifact_type or "").startswith(_NOTATION)


def of_simple_signing(payload: bytes, annotations: Mapping[str, Any]) -> StoredSignature:
    """Return the signature of a payload of simple signing.

    Args:
        payload: the content of the layer.
        annotations: annotations of the layer.

    Raises:
        SignatureUnreadable: the annotations have no signature.
    """
    value = _decoded(annotations.get(SIGNATURE_ANNOTATION), "signature")
    return StoredSignature(value, payload, payload, SignedClaim.of_simple_signing)


def of_bundle(content: bytes) -> tuple[StoredSignature, ...]:
    """Return the signatures in a Sigstore bundle.

    Raises:
        SignatureUnreadable: the content is not a bundle with a statement in a DSSE envelope.
    """
    try:
        document = read_object(content, "the bundle")
    except ClientFault as error:
        raise SignatureUnreadable(error.message) from error
    if document.folded is not None:
        raise SignatureUnreadable("the bundle has a name twice in one object")
    match document.body:
        case {
            "mediaType": str(media_type),
            "dsseEnvelope": {"payloadType": str(kind), "payload": payload, "signatures": [*listed]},
        } if is_bundle(media_type):
            pass
        case _:
            raise SignatureUnreadable("it is not a Sigstore bundle with a DSSE envelope")
    if kind != STATEMENT_TYPE:
        raise SignatureUnreadable("its envelope has no in-toto statement")
    if len(listed) > _MOST_IN_ENVELOPE:
        raise SignatureUnreadable(f"its envelope has more than {_MOST_IN_ENVELOPE} signatures")
    statement = _decoded(payload, "payload", MOST_DOCUMENT_BYTES * 2)
    signed = pre_authentication_encoding(kind, statement)
    return tuple(StoredSignature(_signature(each), signed, statement, SignedClaim.of_statement) for each in listed)


def _signature(listed: object) -> bytes:
    return _decoded(listed.get("sig") if isinstance(listed, dict) else None, "signature")


def _decoded(text: object, what: str, most_characters: int = _MOST_SIGNATURE_CHARACTERS) -> bytes:
    if not isinstance(text, str) or len(text) > most_characters:
        raise SignatureUnreadable(f"it has no {what}, or one that is too long")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:  # binascii.Error too
        raise SignatureUnreadable(f"its {what} is not base64") from error
