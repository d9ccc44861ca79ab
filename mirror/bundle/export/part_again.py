"""One part of an exported bundle, made again without the others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mirror.bundle.bundle_errors import BundleIncomplete
from mirror.bundle.export.recorded_source import RecordedSource
from mirror.bundle.parts.parts_table import PartsTable, planned_parts
from mirror.bundle.parts.range_copy import write_range
from mirror.oci import Digest
from mirror.oci.errors import ConfigurationFault
from mirror.transfer.progress_reporting import Progress


@dataclass(frozen=True, slots=True)
class PartAgain:
    """A part that was made again.

    Attributes:
        path: the file.
        number: number of the part, from 1.
        count: number of parts of the bundle.
        size_bytes: size of the part.
        digest: digest of the part.
        is_as_before: True if the table of parts has the same digest, False if it has another one. None without a table.
    """

    path: Path
    number: int
    count: int
    size_bytes: int
    digest: Digest
    is_as_before: bool | None


async def make_part(
    source: RecordedSource,
    bundle: Path,
    number: int,
    part_bytes: int,
    progress: Progress,
    *,
    table: PartsTable | None = None,
) -> PartAgain:
    """Write one part of a bundle. It replaces an existing file when it is complete.

    Args:
        source: the bundle.
        bundle: path that the whole bundle would have.
        number: number of the part, from 1.
        part_bytes: size of each part but the last.
        progress: receiver of the progress in bytes.
        table: the table of the parts; None if it is not at hand.

    Raises:
        ConfigurationFault: the bundle has no such part.
        BundleIncomplete: content of the part is no longer here.
        StorageDamaged: content is damaged here.
        StorageFault: the file cannot be written.
    """
    planned = planned_parts(bundle.name, source.size_bytes, part_bytes)
    if not 1 <= number <= len(planned):
        raise ConfigurationFault(
            f"--part {number}: {bundle.name} has {len(planned)} part(s) of {part_bytes} bytes; fix: write a number "
            f"from 1 to {len(planned)}"
        )
    name, start, size_bytes = planned[number - 1]
    missing = source.missing(start, size_bytes)
    if missing:
        raise BundleIncomplete(f"part {number} cannot be made again: {'; '.join(missing[:4])}", missing=len(missing))
    path = bundle.with_name(name)
    progress.expect(size_bytes)
    digest = await write_range(source, start, size_bytes, path, progress)
    as_before = None if table is None else table.parts[number - 1].digest == digest
    return PartAgain(path, number, len(planned), size_bytes, digest, as_before)
