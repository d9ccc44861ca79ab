"""``plugin-mirror bundle receipt``: write down what this side holds, for the sender of the next bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import RESULTS, counted, print_json, size
from mirror.oci.timestamps import machine_time


def run(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="F", help="Write the receipt to this file.")],
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Write a receipt: exactly what the store holds.

    Carry the receipt to the sender. A bundle that is made with --since RECEIPT
    leaves out what the receipt lists.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.bundles.bundle_receipts import write_receipt

    receipt, size_bytes = run_to_the_end(write_receipt(settings_of(config, data), output))
    if json:
        print_json(
            {
                "file": str(output),
                "size_bytes": size_bytes,
                "digest": str(receipt.digest),
                "created": machine_time(receipt.created),
                "digests": len(receipt.digests),
                "names": len(receipt.names),
                "streams": dict(receipt.streams),
            }
        )
        return
    listed = f"{counted(len(receipt.names), 'name')} and {counted(len(receipt.digests), 'blob')}"
    RESULTS.out(f"wrote {output}: {size(size_bytes)}, lists {listed}", highlight=False)
    RESULTS.out(f"  receipt {receipt.digest}", highlight=False)
    for stream, serial in sorted(receipt.streams.items()):
        RESULTS.out(f"  last bundle of stream {stream}: {serial}", highlight=False)
    RESULTS.out(
        f"next, at the sender: plugin-mirror bundle export --since {output.name} --key F -o F.tar …", highlight=False
    )
