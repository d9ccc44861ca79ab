"""The table of the parts of a bundle: ``F.parts.json``. Pure.

The table finds missing and damaged parts. Nobody signs it: trust comes from the statement in the bundle alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.oci import Digest
from mirror.oci.errors import ClientFault
from mirror.oci.manifest import parse_json_object
from mirror.oci.printable_text import quoted
from mirror.plugin.build.assembly import canonical_json

#: Size of a part unless another one is given. FAT32 holds files of at most 4 GiB - 1.
PART_BYTES: Final = 4095 * 1024 * 1024
MOST_PARTS: Final = 10_000
MOST_TABLE_BYTES: Final = 4 * 1024 * 1024
_MOST_BYTES: Final = 2**50
_TABLE_END: Final = ".parts.json"
_PART: Final = re.compile(r"(?P<bundle>[^/\0]+)\.part-(?P<number>[0-9]{3,5})")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bundle.

    Attributes:
        name: name of the file.
        start_bytes: offset in the bundle.
        size_bytes: size of the file.
        digest: digest of the file.
    """

    name: str
    start_bytes: int
    size_bytes: int
    digest: Digest

    @property
    def end_bytes(self) -> int:
        """Offset of the end in the bundle."""
        return self.start_bytes + self.size_bytes


@dataclass(frozen=True, slots=True)
class PartRange:
    """The bytes of a range of the bundle that are in one part.

    Attributes:
        number: number of the part, from 1.
        part: the part.
        start_bytes: offset in the part.
        size_bytes: number of bytes.
    """

    number: int
    part: Part
    start_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PartsTable:
    """The parts of a bundle.

    Attributes:
        statement: digest of the statement of the bundle.
        part_bytes: size of each part but the last.
        parts: the parts, in order. At least one.
    """

    statement: Digest
    part_bytes: int
    parts: tuple[Part, ...]

    @property
    def size_bytes(self) -> int:
        """Size of the bundle."""
        return self.parts[-1].end_bytes

    def ranges(self, start_bytes: int, size_bytes: int) -> Iterator[PartRange]:
        """Iterate over the parts of a range of the bundle, in order."""
        end = min(start_bytes + size_bytes, self.size_bytes)
        while start_bytes < end:
            place = start_bytes // self.part_bytes
            part = self.parts[place]
            taken = min(end, part.end_bytes) - start_bytes
            yield PartRange(place + 1, part, start_bytes - part.start_bytes, taken)
            start_bytes += taken

    def label(self, number: int) -> str:
        """Return the name of a part for messages, such as ``part 7 of 12 (site.tar.part-007)``."""
        return f"part {number} of {len(self.parts)} ({self.parts[number - 1].name})"

    def with_digests(self, digests: Mapping[int, Digest]) -> PartsTable:
        """Return the table with new digests, by the number of the part."""
        parts = enumerate(self.parts, start=1)
        return replace(
            self, parts=tuple(replace(part, digest=digests.get(number, part.digest)) for number, part in parts)
        )

    def to_bytes(self) -> bytes:
        """Return the table as JSON. The same table gives the same bytes."""
        parts = [{"name": part.name, "size_bytes": part.size_bytes, "sha256": part.digest.hex} for part in self.parts]
        return canonical_json(
            {
                "statement": str(self.statement),
                "size_bytes": self.size_bytes,
                "part_bytes": self.part_bytes,
                "parts": parts,
            },
            "table of parts",
        )

    @classmethod
    def parse(cls, content: bytes, what: str) -> PartsTable:
        """Return the table in JSON from outside.

        Args:
            content: the JSON.
            what: name of the table in messages.

        Raises:
            BundleInvalid: the bytes are not a table of parts.
        """
        try:
            value = parse_json_object(content, what)
            statement = Digest.parse(str(value.get("statement")))
            listed = [_entry(item, what) for item in value.get("parts") or ()]
        except (ClientFault, TypeError) as error:
            raise BundleInvalid(f"{what} is not a table of parts: {error}") from error
        part_bytes = _size(value.get("part_bytes"), what)
        bundle = bundle_of_part(listed[0][0]) if listed else None
        planned = planned_parts(bundle or "", _size(value.get("size_bytes"), what), part_bytes)
        if bundle is None or [(name, size) for name, size, _ in listed] != [(name, size) for name, _, size in planned]:
            raise BundleInvalid(
                f"{what} is not a table of parts: names and sizes of the parts do not follow each other"
            )
        starts = (start for _, start, _ in planned)
        parts = (Part(name, start, size, digest) for start, (name, size, digest) in zip(starts, listed, strict=True))
        return cls(statement, part_bytes, tuple(parts))


def part_name(bundle: str, number: int) -> str:
    """Return the file name of a part.

    Args:
        bundle: file name of the bundle, such as ``site.tar``.
        number: number of the part, from 1.
    """
    return f"{bundle}.part-{number:03d}"


def table_name(bundle: str) -> str:
    """Return the file name of the table of a bundle's parts."""
    return bundle + _TABLE_END


def bundle_of_part(name: str) -> str | None:
    """Return the file name of the bundle in the file name of a part; None for other names."""
    found = _PART.fullmatch(name)
    return None if found is None else found["bundle"]


def bundle_of_table(name: str) -> str | None:
    """Return the file name of the bundle in the file name of a table of parts; None for other names."""
    return name.removesuffix(_TABLE_END) if name.endswith(_TABLE_END) and name != _TABLE_END else None


def bundle_name(name: str) -> str:
    """Return the file name of the bundle for the name of its file, of its table of parts or of one of its parts."""
    return bundle_of_table(name) or bundle_of_part(name) or name


def planned_parts(bundle: str, size_bytes: int, part_bytes: int) -> list[tuple[str, int, int]]:
    """Return name, offset and size of each part of a new split.

    Args:
        bundle: file name of the bundle.
        size_bytes: size of the bundle.
        part_bytes: size of a part.

    Raises:
        BundleInvalid: there would be more than :data:`MOST_PARTS` parts.
    """
    starts = range(0, size_bytes, part_bytes)
    if len(starts) > MOST_PARTS:
        raise BundleInvalid(
            f"{len(starts)} parts of {part_bytes} bytes are more than {MOST_PARTS}; fix: choose larger parts"
        )
    return [
        (part_name(bundle, number), start, min(part_bytes, size_bytes - start))
        for number, start in enumerate(starts, start=1)
    ]


def _size(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _MOST_BYTES:
        raise BundleInvalid(f"{what} is not a table of parts: {quoted(str(value))} is not a size")
    return value


def _entry(item: Any, what: str) -> tuple[str, int, Digest]:
    match item:
        case {"name": str(name), "size_bytes": size_bytes, "sha256": str(hexadecimal)}:
            return name, _size(size_bytes, what), Digest.parse(f"sha256:{hexadecimal}")
    raise BundleInvalid(f"{what} is not a table of parts: {quoted(str(item))} is not a part")
