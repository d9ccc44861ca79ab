"""Everything that is kept of the layers of a plugin after they were read, and its written form.

Findings are not kept. They are computed from the reading each time, so that they always follow the rules of this
version, the tag and the options of the command (ADR 35).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from typing import Any, Final, get_type_hints

from mirror.oci import Digest
from mirror.oci.errors import DigestInvalid
from mirror.plugin.reading import tree_columns
from mirror.plugin.reading.typed_values import form_of
from mirror.plugin.rootfs.layer_facts import LayerFacts
from mirror.plugin.rootfs.layer_limits import LayerLimits
from mirror.plugin.rootfs.root_filesystem import Rootfs

#: Number of the rules by which layers are read. Increment it whenever the same layers give another reading. New fields
#: of the classes, other limits and other searched names need no new number.
_RULES: Final = 1
#: Largest document. A root filesystem of 100 000 files has about 4 MiB, mostly digests.
MOST_DOCUMENT_BYTES: Final = 8 * 1024 * 1024
_MOST_TEXT_BYTES: Final = 128 * 1024 * 1024
# Digests do not compress, and everything else compresses well at any level.
_LEVEL: Final = 1

_TYPES: Final = get_type_hints(Rootfs)
_FORMS: Final = {field.name: form_of(_TYPES[field.name]) for field in fields(Rootfs) if field.name != "tree"}
_FACTS: Final = form_of(LayerFacts)
_SHAPE: Final = [tree_columns.SHAPE, {name: form.shape for name, form in _FORMS.items()}, _FACTS.shape]


@dataclass(frozen=True, slots=True)
class LayersReading:
    """Result of reading all layers of a plugin.

    Attributes:
        rootfs: root filesystem; None if a layer is missing or cannot be read to its end.
        facts: facts of the layers that were read, by digest.
    """

    rootfs: Rootfs | None
    facts: Mapping[Digest, LayerFacts]


def reading_version(limits: LayerLimits, names: Iterable[bytes]) -> str:
    """Return a text that differs if the same layers may give another reading.

    Args:
        limits: limits beyond which layers are not read.
        names: texts that are searched in all files.
    """
    parts = [_RULES, _SHAPE, astuple(limits), [name.hex() for name in names]]
    return Digest.of(json.dumps(parts).encode()).hex


def write_reading(reading: LayersReading) -> bytes | None:
    """Return a reading as a compressed document; None if the document would exceed :data:`MOST_DOCUMENT_BYTES`."""
    rootfs = reading.rootfs
    value: dict[str, Any] = {"facts": {str(digest): _FACTS.write(facts) for digest, facts in reading.facts.items()}}
    if rootfs is not None:
        value["tree"] = tree_columns.write_tree(rootfs.tree)
        value["notes"] = {name: form.write(getattr(rootfs, name)) for name, form in _FORMS.items()}
    # Bytes of a name outside UTF-8 are surrogates, which JSON can hold as escapes.
    text = json.dumps(value, separators=(",", ":")).encode("ascii")
    if len(text) > _MOST_TEXT_BYTES:
        return None
    document = zlib.compress(text, _LEVEL)
    return document if len(document) <= MOST_DOCUMENT_BYTES else None


def read_reading(document: bytes) -> LayersReading | None:
    """Return the reading in a document; None if the document is damaged or has another form."""
    try:
        return _read(document)
    except (ValueError, TypeError, LookupError, AttributeError, StopIteration, RuntimeError, zlib.error, DigestInvalid):
        return None


def _read(document: bytes) -> LayersReading:
    stream = zlib.decompressobj()
    text = stream.decompress(document, _MOST_TEXT_BYTES)
    # Only the end of the stream has the checksum that detects damage.
    if not stream.eof:
        raise ValueError("the document is cut off or too large")
    value = json.loads(text)
    facts = {Digest.parse(digest): _FACTS.read(one) for digest, one in value["facts"].items()}
    if "tree" not in value:
        return LayersReading(None, facts)
    notes = {name: form.read(value["notes"][name]) for name, form in _FORMS.items()}
    return LayersReading(Rootfs(tree=tree_columns.read_tree(value["tree"]), **notes), facts)
