"""Digests: ``algorithm:hex``, the name of content derived from its bytes (OCI image-spec, descriptor.md#digests)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol

from mirror.oci.errors import DigestInvalid
from mirror.oci.printable_text import quoted

_HEX_LENGTH = {"sha256": 64, "sha512": 128}
_GRAMMAR = re.compile(r"([a-z0-9]+(?:[+._-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)")
_LOWER_HEX = re.compile(r"[0-9a-f]+")

#: Supported algorithms, the default first.
ALGORITHMS = tuple(_HEX_LENGTH)


class Hasher(Protocol):
    """Incremental hash: the part of the interface of ``hashlib`` objects that this package uses."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """Digest of content.

    Attributes:
        algorithm: one of :data:`ALGORITHMS`.
        hex: lower-case hexadecimal, 64 characters for sha256, 128 for sha512.
    """

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Return the digest written as ``algorithm:hex``.

        Raises:
            DigestInvalid: the text is outside the grammar, or the algorithm is not supported.
        """
        match = _GRAMMAR.fullmatch(text)
        if match is None:
            raise DigestInvalid(f"{quoted(text)} is not a digest; fix: write ALGORITHM:HEX", digest=quoted(text))
        algorithm, encoded = match.groups()
        length = _HEX_LENGTH.get(algorithm)
        if length is None:
            known = ", ".join(ALGORITHMS)
            raise DigestInvalid(
                f"digest algorithm {quoted(algorithm)} is not supported; fix: use one of {known}",
                algorithm=quoted(algorithm),
            )
        # Upper-case digits would give the same content a second name.
        if len(encoded) != length or _LOWER_HEX.fullmatch(encoded) is None:
            raise DigestInvalid(
                f"{quoted(text)} is not a {algorithm} digest; fix: write {length} lower-case hexadecimal digits",
                digest=quoted(text),
            )
        return cls(algorithm, encoded)

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview, algorithm: str = "sha256") -> Digest:
        """Return the digest of ``data``."""
        hasher = new_hasher(algorithm)
        hasher.update(data)
        return cls(algorithm, hasher.hexdigest())

    # The generated one makes a tuple first, and every request hashes digests several times.
    def __hash__(self) -> int:
        return hash(self.hex)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def new_hasher(algorithm: str = "sha256") -> Hasher:
    """Return a new incremental hash.

    Raises:
        DigestInvalid: the algorithm is not supported.
    """
    if algorithm not in _HEX_LENGTH:
        raise DigestInvalid(f"digest algorithm {quoted(algorithm)} is not supported", algorithm=quoted(algorithm))
    return hashlib.new(algorithm, usedforsecurity=False)
