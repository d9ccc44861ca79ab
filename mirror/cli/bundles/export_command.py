"""``plugin-mirror bundle export``: write content of the store to a bundle."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.bundles.bundle_options import size_in_bytes
from mirror.cli.byte_bar import ByteBar
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, counted, print_json, size
from mirror.oci.errors import ConfigurationFault
from mirror.oci.timestamps import machine_time

if TYPE_CHECKING:
    from mirror.bundle.export.export_request import Exported
    from mirror.bundle.export.part_again import PartAgain

OutputFileOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="F", help="File to write. It appears when it is complete.")
]
SigningKeysOption = Annotated[
    list[Path] | None,
    typer.Option("--key", metavar="F", help="Sign with this private key of 'bundle keygen'. Repeatable."),
]
NotSignedOption = Annotated[bool, typer.Option("--unsigned", help="Do not sign.")]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="RECEIPT|SERIAL",
        help="Leave out what the receiver has: by its receipt, or because it has all bundles up to a serial.",
    ),
]
PlatformsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--platform", metavar="OS/ARCH", help="Take only these members of multi-platform content. Repeatable."
    ),
]
StreamOption = Annotated[
    str | None, typer.Option("--stream", metavar="S", help="Name of the series of bundles; that of the last one.")
]
SerialOption = Annotated[
    int | None, typer.Option("--serial", metavar="N", help="Number in the stream; the next one if omitted.")
]
KeySetsOption = Annotated[
    list[Path] | None,
    typer.Option("--key-set", metavar="F", help="Add a key set, for receivers that know an older one. Repeatable."),
]
SplitOption = Annotated[
    str | None,
    typer.Option(
        "--split", metavar="SIZE", help="Write parts of this size and their table, such as 4095MiB for FAT32."
    ),
]
VerifyWrittenOption = Annotated[
    bool | None,
    typer.Option(
        "--verify-written/--no-verify-written",
        help="Read the file back from the medium and compare. Done on removable media if omitted.",
    ),
]


def run(
    references: Annotated[
        list[str] | None, typer.Argument(metavar="REF", help="NAME[:TAG][@DIGEST] in the local store.")
    ] = None,
    *,
    output: OutputFileOption,
    keys: SigningKeysOption = None,
    unsigned: NotSignedOption = False,
    rules: Annotated[
        list[str] | None, typer.Option("--rule", metavar="R", help="Take the tags of this mirror rule. Repeatable.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Take all tags of the store.")] = False,
    platforms: PlatformsOption = None,
    since: SinceOption = None,
    stream: StreamOption = None,
    serial: SerialOption = None,
    key_sets: KeySetsOption = None,
    split: SplitOption = None,
    verify_written: VerifyWrittenOption = None,
    part: Annotated[
        int | None,
        typer.Option("--part", metavar="N", help="Make only this part of an exported bundle again, beside F."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written, and write nothing.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Write plugins and images of the store to one file, with their signatures.

    If the command is interrupted, run it again to continue. A plugin that is
    not served here is not exported: with --rule and --all it is left out, with
    a note.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.bundles.bundle_exporting import ExportOrder, export_from_store, plan_from_store
    from mirror.app.bundles.part_exporting import PartOrder, export_part

    part_bytes = None if split is None else size_in_bytes("--split", split)
    if part is not None:
        if references or rules or everything or keys or since or dry_run:
            raise ConfigurationFault(
                "--part makes a part again as it was; fix: give only -o F, --stream, --serial and --split"
            )
        order_part = PartOrder(output=output, part=part, stream=stream, serial=serial, part_bytes=part_bytes)
        with ByteBar(MESSAGES, f"writing part {part} of {output.name}") as bar:
            print_part(run_to_the_end(export_part(settings_of(config, data), order_part, bar)), as_json=json)
        return
    require_signing(keys, unsigned=unsigned)
    if not references and not rules and not everything:
        raise ConfigurationFault("nothing is named to export; fix: name NAME:TAG, --rule R or --all")
    order = ExportOrder(
        output=output,
        references=references or (),
        rules=rules or (),
        everything=everything,
        platforms=platforms or (),
        since=since,
        stream=stream,
        serial=serial,
        keys=keys or (),
        key_sets=key_sets or (),
        part_bytes=part_bytes,
        verify_written=verify_written,
    )
    settings = settings_of(config, data)
    if dry_run:
        exported = run_to_the_end(plan_from_store(settings, order))
    else:
        with ByteBar(MESSAGES, f"writing {output.name}") as bar:
            exported = run_to_the_end(export_from_store(settings, order, bar))
    print_export(exported, keys or (), dry_run=dry_run, as_json=json)


def print_part(made: PartAgain, *, as_json: bool) -> None:
    """Print a part that was made again."""
    if made.is_as_before is False:
        MESSAGES.out(
            "note: the part differs from its table of parts, as it does where the bundle was signed later; "
            "fix: sign it again with 'plugin-mirror bundle sign', which updates the table",
            highlight=False,
        )
    if as_json:
        print_json(
            {
                "file": str(made.path),
                "part": made.number,
                "parts": made.count,
                "size_bytes": made.size_bytes,
                "sha256": made.digest.hex,
                "as_before": made.is_as_before,
            }
        )
        return
    RESULTS.out(f"wrote part {made.number} of {made.count}: {made.path}, {size(made.size_bytes)}", highlight=False)


def require_signing(keys: list[Path] | None, *, unsigned: bool) -> None:
    """Check that a user said whether to sign. Raises ConfigurationFault."""
    if bool(keys) == unsigned:
        raise ConfigurationFault(
            "a bundle is either signed or unsigned; fix: give --key F (make F with 'plugin-mirror bundle keygen F'), "
            "or --unsigned, and not both"
        )


def print_export(exported: Exported, keys: Sequence[Path], *, dry_run: bool, as_json: bool) -> None:
    """Print the result of an export for people, or as JSON."""
    for note in (*exported.left_out, *exported.warnings):
        MESSAGES.out(f"note: {note}", highlight=False)
    if as_json:
        print_json(
            {
                "output": str(exported.output),
                "written": not dry_run,
                "statement": str(exported.statement),
                "stream": exported.stream,
                "serial": exported.serial,
                "created": machine_time(exported.created),
                "size_bytes": exported.size_bytes,
                "names": {str(named): str(named.descriptor.digest) for named in exported.names},
                "blobs": exported.blobs,
                "content_bytes": exported.content_bytes,
                "left_out": list(exported.left_out),
                "warnings": list(exported.warnings),
                "continued_bytes": exported.continued_bytes,
                "verified": exported.is_verified,
            }
        )
        return
    for named in exported.names if dry_run else ():
        RESULTS.out(f"{named}  {named.descriptor.digest}", highlight=False)
    verb = "would write" if dry_run else "wrote"
    continued = f", {size(exported.continued_bytes)} of it earlier" if exported.continued_bytes else ""
    read_back = ", read back and compared" if exported.is_verified else ""
    RESULTS.out(
        f"{verb} {exported.output}: {counted(len(exported.names), 'name')}, {counted(exported.blobs, 'blob')}, "
        f"{size(exported.size_bytes)}{continued}{read_back}",
        highlight=False,
    )
    RESULTS.out(f"stream {exported.stream}, serial {exported.serial}, statement {exported.statement}", highlight=False)
    if not dry_run:
        trust = ["--key", f"{keys[0]}.pub"] if keys else ["--unsigned"]
        command = shlex.join(["plugin-mirror", "bundle", "import", str(exported.output), *trust])
        RESULTS.out(f"next, at the receiver: {command}", highlight=False)
