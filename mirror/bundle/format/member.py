"""Members of a bundle: the files in its tar. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.oci import Digest
from mirror.oci.printable_text import quoted

OCI_LAYOUT: Final = "oci-layout"
OCI_LAYOUT_CONTENT: Final = b'{"imageLayoutVersion":"1.0.0"}'
INDEX: Final = "index.json"
STATEMENT: Final = "plugin-mirror/statement.json"
REPORT: Final = "plugin-mirror/report.json"
_KEY_SET: Final = re.compile(r"plugin-mirror/keys/([1-9][0-9]{0,8})\.json")
_ORDER: Final = (OCI_LAYOUT, INDEX, STATEMENT, "keys", REPORT)
_BLOB: Final = re.compile(r"blobs/(sha256|sha512)/([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the tar of a bundle.

    Attributes:
        path: path in the tar.
        size_bytes: size of the content.
        digest: digest of the content. For a blob, the digest in its path.
    """

    path: str
    size_bytes: int
    digest: Digest

    @classmethod
    def of_blob(cls, digest: Digest, size_bytes: int) -> Member:
        """Return the member that holds a blob or a manifest."""
        return cls(f"blobs/{digest.algorithm}/{digest.hex}", size_bytes, digest)

    @classmethod
    def of_content(cls, path: str, content: bytes) -> Member:
        """Return the member with a path and content."""
        return cls(path, len(content), Digest.of(content))

    @property
    def is_blob(self) -> bool:
        """True for a blob or a manifest."""
        return self.path.startswith("blobs/")

    @property
    def is_key_set(self) -> bool:
        """True for a key set."""
        return _KEY_SET.fullmatch(self.path) is not None


def key_set_path(version: int) -> str:
    """Return the path of a key set."""
    return f"plugin-mirror/keys/{version}.json"


def in_order(documents: Iterable[str]) -> list[str]:
    """Return the paths of documents in the order of the tar. Key sets follow their versions."""

    def place(path: str) -> tuple[int, int]:
        key_set = _KEY_SET.fullmatch(path)
        return _ORDER.index("keys" if key_set else path), int(key_set[1]) if key_set else 0

    return sorted(documents, key=place)


def digest_in_path(path: str) -> Digest | None:
    """Return the digest in the path of a blob; None for any other path that a bundle may have.

    Raises:
        BundleInvalid: no member of a bundle may have this path.
        DigestInvalid: the digest is malformed.
    """
    blob = _BLOB.fullmatch(path)
    if blob is not None:
        return Digest.parse(f"{blob[1]}:{blob[2]}")
    if path in {OCI_LAYOUT, INDEX, REPORT} or _KEY_SET.fullmatch(path):
        return None
    raise BundleInvalid(f"the statement has a member {quoted(path)}, which no bundle may have", path=path)
