"""Facts of a plugin's layer, and the problems that reading it may meet."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mirror.oci import Digest


class LayerProblem(Enum):
    """Why engines cannot unpack a layer, or would unpack less than is in it. The value goes on "the layer …"."""

    NOT_GZIP = "is neither gzip nor a tar"
    ZSTD = "is compressed with zstd"
    GZIP_BROKEN = "holds a gzip stream that is damaged"
    GZIP_TRUNCATED = "ends in the middle of its gzip stream"
    GZIP_TRAILING = "goes on with something else after its gzip stream"
    NOT_TAR = "holds no tar in its gzip stream"
    TAR_BROKEN = "holds a tar that is damaged"
    TAR_TRUNCATED = "holds a tar that ends in the middle of an entry"
    ENTRY_TYPE = "holds a tar with an entry of a kind that engines do not know"
    TAR_TRAILING = "goes on with something else after the end of its tar"
    TOO_LARGE = "unpacks to more than is looked at"
    TOO_DENSE = "unpacks to so many times its size that it is taken for a decompression bomb"
    PLUGIN_TOO_LARGE = "unpacks, with the layers before it, to more than is looked at"
    TOO_MANY_ENTRIES = "has more entries than are looked at"
    TOO_MANY_LAYERS = "comes after more layers than are looked at"

    @property
    def is_trailing(self) -> bool:
        """Tell whether it begins with a whole tar, which some engines unpack and leave it at that."""
        return self in {LayerProblem.GZIP_TRAILING, LayerProblem.TAR_TRAILING}

    @property
    def is_limit(self) -> bool:
        """Tell whether it is a limit of ours that was met, and engines may take the layer."""
        return self in {
            LayerProblem.TOO_LARGE,
            LayerProblem.TOO_DENSE,
            LayerProblem.PLUGIN_TOO_LARGE,
            LayerProblem.TOO_MANY_ENTRIES,
            LayerProblem.TOO_MANY_LAYERS,
        }


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """A layer that was read to its end, or as far as it can be.

    Attributes:
        size_bytes: of the blob.
        compressed: whether it is gzip; what engines are told apart by is its first bytes, not its type.
        diff_id: digest of the tar, uncompressed; None where there is a problem.
        tar_bytes: size of the tar, as far as it was read.
        entries: files, folders and links in it, as far as it was read.
        problem: why it cannot be unpacked.
    """

    size_bytes: int
    compressed: bool
    diff_id: Digest | None
    tar_bytes: int
    entries: int
    problem: LayerProblem | None = None
