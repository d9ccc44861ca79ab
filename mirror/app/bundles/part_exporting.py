"""Export of one part of a bundle that the local store has exported earlier."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import aiofiles.os

from mirror.app.bundles.bundle_exporting import check_serial
from mirror.app.services import open_services
from mirror.bundle.export.part_again import PartAgain, make_part
from mirror.bundle.export.recorded_source import RecordedSource
from mirror.bundle.format.bundle_head import read_recorded_head
from mirror.bundle.parts.parts_table import PART_BYTES, PartsTable, table_name
from mirror.bundle.parts.source_opening import read_table
from mirror.oci.errors import ConfigurationFault
from mirror.records.bundle_exports import BundleExports, ExportRecord
from mirror.settings import Settings
from mirror.transfer.progress_reporting import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class PartOrder:
    """Order of a user to make one part again.

    Attributes:
        output: path that the whole bundle would have. The part is written beside it.
        part: number of the part, from 1.
        stream: stream of the bundle; None for the stream of the last export.
        serial: serial of the bundle; None for the last one.
        part_bytes: size of the parts; None for that of the table of parts, or else 4095 MiB.
    """

    output: Path
    part: int
    stream: str | None = None
    serial: int | None = None
    part_bytes: int | None = None


async def export_part(settings: Settings, order: PartOrder, progress: Progress) -> PartAgain:
    """Make a part again. The table of parts beside the file names the bundle, if it is there.

    Raises:
        ConfigurationFault: no export is recorded that fits.
        MirrorError: see :func:`mirror.bundle.export.part_again.make_part`.
    """
    table = await _table(order)
    async with open_services(settings, only_reads=True) as services:
        records = services.store.records
        record = await _record(records.bundle_exports, order, table)
        layout = (await read_recorded_head(record.head)).layout
        holders = await records.bundle_contents.holders([placed.member.digest for placed in layout.blobs()])
        name = f"bundle {record.serial} of stream {record.stream}"
        # Content that is no longer served here does not leave in a part either.
        source = RecordedSource(name, record.head, layout, services.withheld(services.store), holders)
        part_bytes = order.part_bytes or (PART_BYTES if table is None else table.part_bytes)
        return await make_part(source, order.output, order.part, part_bytes, progress, table=table)


async def _table(order: PartOrder) -> PartsTable | None:
    path = order.output.with_name(table_name(order.output.name))
    table = await read_table(path) if await aiofiles.os.path.exists(path) else None
    if table is not None and order.part_bytes not in {None, table.part_bytes}:
        raise ConfigurationFault(
            f"{path} has parts of {table.part_bytes} bytes; fix: leave --split out, or choose another name for -o"
        )
    return table


async def _record(exports: BundleExports, order: PartOrder, table: PartsTable | None) -> ExportRecord:
    if table is not None:
        record = await exports.export_with(table.statement)
        if record is None:
            raise ConfigurationFault(
                f"{order.output}: the bundle of its table of parts was not exported from this data folder; "
                "fix: name the right folder with --data"
            )
        return record
    last = await exports.last_export(order.stream)
    if last is None:
        raise ConfigurationFault("no bundle was exported here; fix: export one first, with --split")
    serial = check_serial(order.serial)
    if serial is None:
        return last
    found = await exports.exports_between(last.stream, serial, serial)
    if not found:
        raise ConfigurationFault(
            f"--serial {serial}: stream {last.stream} has no export with this serial; fix: leave out --serial for the "
            f"last one, {last.serial}"
        )
    return found[0]
