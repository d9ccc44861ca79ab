"""``plugin-mirror bundle verify``: check the signatures and every byte of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.bundles.bundle_options import FoldersOption, PublicKeysOption, UnsignedOption
from mirror.cli.byte_bar import ByteBar
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, counted, print_json, size
from mirror.oci.printable_text import printable
from mirror.oci.timestamps import machine_time


def run(
    bundle: Annotated[Path, typer.Argument(metavar="F", help="The bundle, the table of its parts, or a part.")],
    *,
    public_keys: PublicKeysOption = None,
    folders: FoldersOption = None,
    unsigned: UnsignedOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Check who has signed a bundle, and that every byte is as the statement says.

    No store is needed. Keys recorded by 'bundle trust' in the data folder are
    trusted too, if there is one.

    Exit code 1: no trusted key has signed the bundle, or bytes differ.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.bundles.bundle_verifying import verify_bundle

    settings = settings_of(config, data)
    with ByteBar(MESSAGES, f"verifying {bundle.name}") as bar:
        work = verify_bundle(
            settings, bundle, bar, folders=folders or (), public_keys=public_keys or (), unsigned=unsigned
        )
        verified = run_to_the_end(work)
    statement, trust = verified.head.statement, verified.trust
    for warning in verified.warnings:
        MESSAGES.out(f"warning: {printable(warning)}", highlight=False)
    layout = verified.head.layout
    if json:
        print_json(
            {
                "bundle": str(bundle),
                "stream": statement.stream,
                "serial": statement.serial,
                "created": machine_time(statement.created),
                "statement": str(verified.head.envelope.digest),
                "size_bytes": layout.size_bytes,
                "members": len(layout.members),
                "names": [str(named) for named in verified.head.names],
                "signers": list(trust.signers),
                "warnings": list(verified.warnings),
            }
        )
        return
    RESULTS.out(
        f"{bundle}: bundle {statement.serial} of stream {statement.stream}, created {machine_time(statement.created)}",
        highlight=False,
    )
    RESULTS.out(
        f"every byte is as the statement says: {size(layout.size_bytes)} in {counted(len(layout.members), 'member')}",
        highlight=False,
    )
    RESULTS.out(f"signed by {', '.join(trust.signers) or 'no trusted key'}", highlight=False)
