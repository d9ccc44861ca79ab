"""DSSE envelopes, which carry a document and its signatures (secure-systems-lab/dsse, envelope.md). Pure.

The envelope of a bundle is padded with spaces, so that a signature can be added without moving the rest of the file.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Any, Final

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.bundle.format.bounded_json import read_bounded
from mirror.oci import Digest
from mirror.plugin.build.assembly import canonical_json

#: Largest envelope that is read. A statement with 200 000 members takes about 24 MiB, and notes half as much.
MOST_ENVELOPE_BYTES: Final = 48 * 1024 * 1024
#: Bytes kept for further signatures: 16 of about 200 bytes.
SIGNATURE_ROOM_BYTES: Final = 4096
MOST_SIGNATURES: Final = 64


@dataclass(frozen=True, slots=True)
class Signature:
    """Signature of a document.

    Attributes:
        key_id: hint for people: SHA-256 of the raw public key in hexadecimal. Decides nothing.
        value: the bytes of the signature.
    """

    key_id: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A document with its signatures.

    Attributes:
        payload_type: type of the document.
        payload: bytes of the document. Only these bytes may be parsed after the signatures were verified.
        signatures: the signatures; empty for an unsigned bundle.
    """

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...] = ()

    @property
    def digest(self) -> Digest:
        """Digest of the document, the same with any signatures."""
        return Digest.of(self.payload)

    @property
    def signed_bytes(self) -> bytes:
        """Bytes that a signature covers: the pre-authentication encoding of type and document."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)

    def with_signature(self, signature: Signature) -> Envelope:
        """Return the envelope with one more signature. A signature with the same key id is replaced."""
        others = tuple(other for other in self.signatures if other.key_id != signature.key_id)
        return replace(self, signatures=(*others, signature))

    def to_bytes(self, size_bytes: int | None = None) -> bytes:
        """Return the envelope as JSON.

        Args:
            size_bytes: size to pad to with spaces; None for no padding.

        Raises:
            BundleInvalid: the envelope is larger than ``size_bytes``.
        """
        signatures = [
            {"keyid": signature.key_id, "sig": base64.b64encode(signature.value).decode()}
            for signature in self.signatures
        ]
        document = {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": signatures,
        }
        content = canonical_json(document, "envelope")
        if size_bytes is not None and len(content) > size_bytes:
            raise BundleInvalid(f"{len(self.signatures)} signatures do not fit the {size_bytes} bytes of the envelope")
        return content.ljust(size_bytes or 0)

    def beginning(self, threes: int) -> bytes:
        """Return the beginning of the JSON with 3 times ``threes`` bytes of the payload. No signature changes it."""
        return b'{"payload":"' + base64.b64encode(self.payload[: 3 * threes])

    @property
    def padded_size_bytes(self) -> int:
        """Size of the envelope in a new bundle: with room for further signatures."""
        return len(replace(self, signatures=()).to_bytes()) + SIGNATURE_ROOM_BYTES

    @classmethod
    def parse(cls, content: bytes, what: str) -> Envelope:
        """Return the envelope in JSON from outside.

        Args:
            content: the JSON.
            what: name of the document in messages.

        Raises:
            BundleInvalid: the bytes are not an envelope.
        """
        value = read_bounded(content, what, MOST_ENVELOPE_BYTES)
        kind, listed = value.get("payloadType"), value.get("signatures")
        if not isinstance(kind, str) or not kind.isascii() or not isinstance(listed, list):
            raise BundleInvalid(f"{what} is not a DSSE envelope")
        if len(listed) > MOST_SIGNATURES:
            raise BundleInvalid(f"{what} has more than {MOST_SIGNATURES} signatures")
        return cls(kind, _decoded(value.get("payload"), what), tuple(_signature(each, what) for each in listed))


def _signature(value: Any, what: str) -> Signature:
    key_id = value.get("keyid", "") if isinstance(value, dict) else None
    if not isinstance(key_id, str):
        raise BundleInvalid(f"{what} has a signature that is not an object with a key id")
    return Signature(key_id, _decoded(value.get("sig"), what))


def _decoded(value: object, what: str) -> bytes:
    if not isinstance(value, str):
        raise BundleInvalid(f"{what} lacks a field in base64")
    try:
        # DSSE allows the alphabet of URLs too.
        return base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError as error:  # binascii.Error too
        raise BundleInvalid(f"{what} has a field that is not base64") from error
