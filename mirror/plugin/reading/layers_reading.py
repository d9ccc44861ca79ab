"""Everything that is kept of the layers of a plugin after they were read, and its written form.

Findings are not kept. They are computed from the reading each time, so that they always follow the rules of this
version, the tag and the options of the command (ADR 34).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from io import BytesIO
from typing import Any, Final, get_type_hints

from mirror.oci import Digest
from mirror.oci.errors import DigestInvalid
from mirror.plugin.reading.tree_columns import read_tree, write_tree
from mirror.plugin.reading.typed_values import form_of
from mirror.plugin.rootfs.layer_facts import LayerFacts
from mirror.plugin.rootfs.layer_limits import LayerLimits
from mirror.plugin.rootfs.root_filesystem import Rootfs

#: Largest document. A root filesystem of 100 000 files has about 4 MiB, mostly digests.
MOST_DOCUMENT_BYTES: Final = 8 * 1024 * 1024
_MOST_TEXT_BYTES: Final = 128 * 1024 * 1024
# Digests do not compress, and everything else compresses well at any level.
_LEVEL: Final = 1

_TYPES: Final = get_type_hints(Rootfs)
_FORMS: Final = {field.name: form_of(_TYPES[field.name]) for field in fields(Rootfs) if field.name != "tree"}
_FACTS: Final = form_of(LayerFacts)


@dataclass(frozen=True, slots=True)
class LayersReading:
    """Result of reading all layers of a plugin.

    Attributes:
        rootfs: root filesystem; None if a layer is missing or cannot be read to its end.
        facts: facts of the layers that were read, by digest.
    """

    rootfs: Rootfs | None
    facts: Mapping[Digest, LayerFacts]


def reading_version(code: str, limits: LayerLimits, names: Iterable[bytes]) -> str:
    """Return a text that differs if the same layers may give another reading.

    Args:
        code: digest of the code that reads layers and documents.
        limits: limits beyond which layers are not read.
        names: texts that are searched in all files.
    """
    parts = [code, astuple(limits), [name.hex() for name in names]]
    return Digest.of(json.dumps(parts).encode()).hex


def write_reading(reading: LayersReading) -> bytes | None:
    """Return a reading as a compressed document; None if the document would exceed :data:`MOST_DOCUMENT_BYTES`."""
    packer, document, text_bytes = zlib.compressobj(_LEVEL), bytearray(), 0
    for part in _parts(reading):
        # Bytes of a name outside UTF-8 are surrogates, which JSON can hold as escapes.
        line = json.dumps(part, separators=(",", ":")).encode("ascii") + b"\n"
        text_bytes += len(line)
        document += packer.compress(line)
        if text_bytes > _MOST_TEXT_BYTES or len(document) > MOST_DOCUMENT_BYTES:
            return None
    document += packer.flush()
    return bytes(document) if len(document) <= MOST_DOCUMENT_BYTES else None


def read_reading(document: bytes) -> LayersReading | None:
    """Return the reading in a document; None if the document is damaged or has another form."""
    try:
        return _read(document)
    except (ValueError, TypeError, LookupError, AttributeError, StopIteration, RuntimeError, zlib.error, DigestInvalid):
        return None


def _parts(reading: LayersReading) -> Iterator[Any]:
    """Yield plain values, one for each line of the document. Only one of them is in memory as a text at a time."""
    yield {str(digest): _FACTS.write(facts) for digest, facts in reading.facts.items()}
    rootfs = reading.rootfs
    yield rootfs and {name: form.write(getattr(rootfs, name)) for name, form in _FORMS.items()}
    if rootfs is not None:
        yield from write_tree(rootfs.tree)


def _read(document: bytes) -> LayersReading:
    stream = zlib.decompressobj()
    text = stream.decompress(document, _MOST_TEXT_BYTES)
    # Only the end of the stream has the checksum that detects damage.
    if not stream.eof:
        raise ValueError("the document is cut off or too large")
    parts = map(json.loads, BytesIO(text))
    facts = {Digest.parse(digest): _FACTS.read(one) for digest, one in next(parts).items()}
    notes = next(parts)
    if notes is None:
        return LayersReading(None, facts)
    read = {name: form.read(notes[name]) for name, form in _FORMS.items()}
    return LayersReading(Rootfs(tree=read_tree(parts), **read), facts)
