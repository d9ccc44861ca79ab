"""``plugin-mirror fetch``: from other registries straight to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.bundles.bundle_options import name_mappings, size_in_bytes
from mirror.cli.bundles.export_command import (
    KeySetsOption,
    NotSignedOption,
    OutputFileOption,
    PlatformsOption,
    SigningKeysOption,
    SplitOption,
    VerifyWrittenOption,
    print_export,
    require_signing,
)
from mirror.cli.byte_bar import ByteBar
from mirror.cli.options import ConfigOption, JsonOption, settings_of
from mirror.cli.plugin_sources import PlainHttpOption
from mirror.cli.printing import MESSAGES
from mirror.oci import Reference
from mirror.oci.platform_selection import PlatformSelection


def run(
    references: Annotated[
        list[str],
        typer.Argument(
            metavar="REF...", help="[HOST[:PORT]/]NAME[:TAG][@DIGEST]. Without a host, a name at Docker Hub."
        ),
    ],
    *,
    output: OutputFileOption,
    keys: SigningKeysOption = None,
    unsigned: NotSignedOption = False,
    platforms: PlatformsOption = None,
    since: Annotated[
        Path | None,
        typer.Option("--since", metavar="RECEIPT", help="Leave out what the receiver has by its receipt."),
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FROM=TO", help="Give names other names: 'store/*/*=*/*'. Repeatable."),
    ] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", metavar="S", help="Name of the series of bundles; that of the key.")
    ] = None,
    serial: Annotated[
        int | None, typer.Option("--serial", metavar="N", help="Number in the stream; the seconds since 1970.")
    ] = None,
    key_sets: KeySetsOption = None,
    split: SplitOption = None,
    verify_written: VerifyWrittenOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written, and write nothing.")] = False,
    config: ConfigOption = None,
    plain_http: PlainHttpOption = False,
    json: JsonOption = False,
) -> None:
    """Fetch plugins from other registries into a bundle, without a server or a store.

    The bundle can be carried to a place that no network reaches, and imported
    there with 'bundle import'. Needs no configuration. With one, the logins and
    limits of its upstreams are used for their hosts. Other hosts get the logins
    of 'docker login'. Referrers and signatures come along. If the command is
    interrupted, run it again to continue.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.bundles.bundle_fetching import FetchRequest, fetch_bundle, plan_fetch
    from mirror.transfer.graph.content_choice import ContentChoice

    require_signing(keys, unsigned=unsigned)
    request = FetchRequest(
        output=output,
        references=tuple(map(Reference.parse, references)),
        keys=tuple(keys or ()),
        key_sets=tuple(key_sets or ()),
        since=since,
        choice=ContentChoice(PlatformSelection.parse(platforms or ())),
        mappings=name_mappings(maps or ()),
        stream=stream,
        serial=serial,
        plain_http=plain_http,
        part_bytes=None if split is None else size_in_bytes("--split", split),
        verify_written=verify_written,
    )
    settings = settings_of(config, None)
    if dry_run:
        exported = run_to_the_end(plan_fetch(settings, request))
    else:
        with ByteBar(MESSAGES, f"writing {output.name}") as bar:
            exported = run_to_the_end(fetch_bundle(settings, request, bar))
    print_export(exported, keys or (), dry_run=dry_run, as_json=json)
