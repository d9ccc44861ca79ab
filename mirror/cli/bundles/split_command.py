"""``plugin-mirror bundle split``: cut a bundle into parts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.bundles.bundle_options import FoldersOption, size_in_bytes
from mirror.cli.byte_bar import ByteBar
from mirror.cli.options import JsonOption
from mirror.cli.printing import MESSAGES, RESULTS, print_json, size


def run(
    bundle: Annotated[Path, typer.Argument(metavar="F", help="The bundle.")],
    *,
    folder: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder for the parts; that of F if omitted.")
    ] = None,
    part_size: Annotated[
        str, typer.Option("--size", metavar="SIZE", help="Size of a part. The default fits FAT32.")
    ] = "4095MiB",
    folders: FoldersOption = None,
    json: JsonOption = False,
) -> None:
    """Cut a bundle into parts F.part-001, F.part-002 … with a table F.parts.json.

    The parts can be carried on several drives, each with a copy of the table.
    All commands about bundles read parts in place. The bundle itself stays as
    it is. If the command is interrupted, run it again to continue.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.bundle.parts.parts_table import PartsTable, bundle_name
    from mirror.bundle.parts.source_opening import open_source
    from mirror.bundle.parts.splitting import split_bundle

    part_bytes = size_in_bytes("--size", part_size)

    async def work() -> tuple[Path, PartsTable]:
        source = await open_source(bundle, folders or ())
        return await split_bundle(source, bundle_name(bundle.name), folder or bundle.parent, part_bytes, bar)

    with ByteBar(MESSAGES, f"splitting {bundle.name}") as bar:
        table_file, table = run_to_the_end(work())
    if json:
        print_json(
            {
                "table": str(table_file),
                "statement": str(table.statement),
                "size_bytes": table.size_bytes,
                "part_bytes": table.part_bytes,
                "parts": [
                    {
                        "file": str(table_file.parent / part.name),
                        "size_bytes": part.size_bytes,
                        "sha256": part.digest.hex,
                    }
                    for part in table.parts
                ],
            }
        )
        return
    for part in table.parts:
        RESULTS.out(f"{table_file.parent / part.name}  {size(part.size_bytes)}", highlight=False)
    RESULTS.out(f"{table_file}  copy it to each drive, beside the parts", highlight=False)
