"""Facts about a plugin layer, and the problems that reading a layer may meet."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mirror.oci import Digest


class LayerProblem(Enum):
    """Reasons why engines cannot unpack a layer, or not all of it. Each value follows the words "the layer …"."""

    NOT_GZIP = "is neither gzip nor a tar"
    ZSTD = "is compressed with zstd"
    GZIP_BROKEN = "holds a damaged gzip stream"
    GZIP_TRUNCATED = "ends in the middle of its gzip stream"
    GZIP_TRAILING = "has other data after its gzip stream"
    NOT_TAR = "holds no tar in its gzip stream"
    TAR_BROKEN = "holds a damaged tar"
    TAR_TRUNCATED = "holds a tar that ends in the middle of an entry"
    ENTRY_TYPE = "holds a tar with an entry of a type that engines do not know"
    TAR_TRAILING = "has other data after the end of its tar"
    TOO_LARGE = "unpacks to more than the size limit"
    TOO_DENSE = "unpacks to so many times its size that it is treated as a decompression bomb"
    PLUGIN_TOO_LARGE = "unpacks, with the layers before it, to more than the size limit of a plugin"
    TOO_MANY_ENTRIES = "has more entries than the limit"
    TOO_MANY_LAYERS = "comes after more layers than the limit"

    @property
    def is_trailing(self) -> bool:
        """True if the layer begins with a complete tar. Some engines unpack the tar and ignore the rest."""
        return self in {LayerProblem.GZIP_TRAILING, LayerProblem.TAR_TRAILING}

    @property
    def is_limit(self) -> bool:
        """True for a limit of this mirror. Engines may accept the layer."""
        return self in {
            LayerProblem.TOO_LARGE,
            LayerProblem.TOO_DENSE,
            LayerProblem.PLUGIN_TOO_LARGE,
            LayerProblem.TOO_MANY_ENTRIES,
            LayerProblem.TOO_MANY_LAYERS,
        }


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """Facts of a layer that was read to its end or to its first problem.

    Attributes:
        size_bytes: size of the blob.
        compressed: True if the first bytes are gzip. Engines look at these bytes, not at the media type.
        diff_id: digest of the uncompressed tar; None if there is a problem.
        tar_bytes: size of the tar, as far as it was read.
        entries: number of files, folders and links, as far as the tar was read.
        problem: reason why the layer cannot be unpacked; None if there is none.
    """

    size_bytes: int
    compressed: bool
    diff_id: Digest | None
    tar_bytes: int
    entries: int
    problem: LayerProblem | None = None
