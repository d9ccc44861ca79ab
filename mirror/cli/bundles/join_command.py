"""``plugin-mirror bundle join``: put the parts of a bundle together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.bundles.bundle_options import FoldersOption
from mirror.cli.byte_bar import ByteBar
from mirror.cli.options import JsonOption
from mirror.cli.printing import MESSAGES, RESULTS, counted, print_json, size
from mirror.oci.errors import ConfigurationFault


def run(
    bundle: Annotated[
        Path, typer.Argument(metavar="F", help="The bundle, its table F.parts.json, or one of its parts.")
    ],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="File to write; F if omitted.")
    ] = None,
    folders: FoldersOption = None,
    json: JsonOption = False,
) -> None:
    """Put the parts of a bundle together into one file.

    Each part is compared with its hash in the table. The parts may come on
    several drives, one after the other: run the command again for each drive,
    in any order. The commands about bundles need no joined file, because they
    read parts in place.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.bundle.parts.joining import join_bundle
    from mirror.bundle.parts.parts_source import PartsSource
    from mirror.bundle.parts.parts_table import bundle_name
    from mirror.bundle.parts.source_opening import open_source

    path = output or bundle.with_name(bundle_name(bundle.name))

    async def work() -> PartsSource:
        source = await open_source(bundle, folders or ())
        if not isinstance(source, PartsSource):
            raise ConfigurationFault(f"{bundle} is one file, and not in parts; fix: use it as it is")
        await join_bundle(source, path, bar)
        return source

    with ByteBar(MESSAGES, f"joining {path.name}") as bar:
        source = run_to_the_end(work())
    if json:
        print_json(
            {
                "file": str(path),
                "statement": str(source.table.statement),
                "size_bytes": source.size_bytes,
                "parts": len(source.table.parts),
            }
        )
        return
    RESULTS.out(
        f"joined {path}: {size(source.size_bytes)} in {counted(len(source.table.parts), 'part')}", highlight=False
    )
