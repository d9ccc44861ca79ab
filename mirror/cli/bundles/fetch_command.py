"""``plugin-mirror fetch``: from other registries straight to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.bundles.bundle_options import name_mappings
from mirror.cli.byte_bar import ByteBar
from mirror.cli.options import ConfigOption, JsonOption, settings_of
from mirror.cli.plugin_sources import PlainHttpOption
from mirror.cli.printing import MESSAGES, RESULTS, print_json, size
from mirror.oci import Reference
from mirror.oci.errors import ConfigurationFault
from mirror.oci.platform_selection import PlatformSelection
from mirror.oci.timestamps import machine_time

if TYPE_CHECKING:
    from mirror.bundle.export.export_request import Exported


def run(
    references: Annotated[
        list[str],
        typer.Argument(
            metavar="REF…", help="[HOST[:PORT]/]NAME[:TAG]\\[@DIGEST]. Without a host, a name at Docker Hub."
        ),
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="F", help="File of the bundle.")],
    keys: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="F", help="Sign with this private key ('bundle keygen'). Repeatable."),
    ] = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Write a bundle that nobody has signed.")] = False,
    since: Annotated[
        Path | None,
        typer.Option("--since", metavar="RECEIPT", help="Leave out what the receiver holds ('bundle receipt')."),
    ] = None,
    platforms: Annotated[
        list[str] | None,
        typer.Option("--platform", metavar="OS/ARCH", help="Take only this platform of multi-platform content."),
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FROM=TO", help="Give names other names: 'store/*/*=*/*'. Repeatable."),
    ] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", metavar="S", help="Stream of the bundle; that of the key if omitted.")
    ] = None,
    serial: Annotated[
        int | None,
        typer.Option("--serial", min=1, metavar="N", help="Serial of the bundle; the seconds since 1970 if omitted."),
    ] = None,
    verify_written: Annotated[
        bool | None,
        typer.Option(
            "--verify-written/--no-verify-written",
            help="Read the file back from the medium. Default: only on removable media.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    plain_http: PlainHttpOption = False,
    json: JsonOption = False,
) -> None:
    """Fetch plugins from other registries into a bundle, without a server or a store.

    The bundle can be carried to a place that no network reaches, and imported
    there with 'bundle import'. Needs no configuration. With one, the logins and
    limits of its upstreams are used for their hosts, else the logins of 'docker
    login'. Referrers and signatures come along. An interrupted fetch continues
    where it stopped when the same command is run again.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.bundles.bundle_fetching import FetchRequest, fetch_bundle
    from mirror.transfer.graph.content_choice import ContentChoice

    if bool(keys) == unsigned:
        raise ConfigurationFault(
            "a bundle is signed or not; fix: give --key F, with a key of 'plugin-mirror bundle keygen F', or --unsigned"
        )
    request = FetchRequest(
        output=output,
        references=tuple(map(Reference.parse, references)),
        keys=tuple(keys or ()),
        since=since,
        choice=ContentChoice(PlatformSelection.parse(platforms or ())),
        mappings=name_mappings(maps or ()),
        stream=stream,
        serial=serial,
        plain_http=plain_http,
        verify_written=verify_written,
    )
    with ByteBar(MESSAGES, f"fetching {output.name}") as bar:
        exported = run_to_the_end(fetch_bundle(settings_of(config, None), request, bar))
    for warning in (*exported.left_out, *exported.warnings):
        MESSAGES.out(f"warning: {warning}", highlight=False)
    if json:
        print_json(_as_json(exported))
        return
    for named in exported.names:
        RESULTS.out(str(named), highlight=False)
    RESULTS.out(
        f"{exported.output}: bundle {exported.serial} of stream {exported.stream}, {len(exported.names)} names, "
        f"{size(exported.size_bytes)}",
        highlight=False,
    )


def _as_json(exported: Exported) -> dict[str, Any]:
    return {
        "file": str(exported.output),
        "statement": str(exported.statement),
        "stream": exported.stream,
        "serial": exported.serial,
        "created": machine_time(exported.created),
        "size_bytes": exported.size_bytes,
        "content_bytes": exported.content_bytes,
        "continued_bytes": exported.continued_bytes,
        "names": {str(named): str(named.descriptor.digest) for named in exported.names},
        "left_out": list(exported.left_out),
        "warnings": list(exported.warnings),
    }
