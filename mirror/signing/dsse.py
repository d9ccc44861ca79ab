"""The bytes that a signature in a DSSE envelope covers (secure-systems-lab/dsse, protocol.md)."""

from __future__ import annotations


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes to sign for a document and its type."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
