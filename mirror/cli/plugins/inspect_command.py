"""``plugin-mirror inspect``: show the content of a reference or folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.bundles.bundle_options import PublicKeysOption, signature_check
from mirror.cli.install_format import InstallFormat
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.plugin_sources import SOURCE_HELP, PlainHttpOption, parse_source
from mirror.cli.printing import MESSAGES
from mirror.oci import Reference
from mirror.oci.errors import ConfigurationFault

# What reads and shows a plugin is imported when a command does so, for a quick --help.
if TYPE_CHECKING:
    from mirror.app.bundles.signature_check import SignatureCheck
    from mirror.authoring.files.layout_reference import LayoutReference
    from mirror.authoring.installing.install_lines import InstallLine
    from mirror.settings import Settings


def run(
    source: Annotated[str, typer.Argument(metavar="REF|DIR|FILE", help=SOURCE_HELP)],
    *,
    config: ConfigOption = None,
    data: DataOption = None,
    plain_http: PlainHttpOption = False,
    public_keys: PublicKeysOption = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Do not read the layers. The output says nothing about the programs in them."),
    ] = False,
    form: Annotated[
        InstallFormat | None,
        typer.Option(
            "--as",
            help="Print only the install: docker commands, the swarm service to create, or a shell script for a host.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show a plugin: platform, privileges, settings, engines, and the command that installs it on a Docker host."""
    parsed = parse_source(source)
    settings = settings_of(config, data)
    check = signature_check(public_keys, parsed)
    if form is not None:
        if json:
            raise ConfigurationFault("--as and --json are two formats; fix: give one of them")
        if not isinstance(parsed, Reference):
            raise ConfigurationFault(f"{parsed} is not in a registry, and no engine can install from it; fix: push it")
        _show_install(settings, parsed, form, plain_http=plain_http)
    elif isinstance(parsed, Path):
        _show_folder(settings, parsed, json=json)
    else:
        _show_reference(settings, parsed, check, plain_http=plain_http, quick=quick, json=json)


def _show_folder(settings: Settings, path: Path, *, json: bool) -> None:
    from mirror.app.plugin_inspection import read_plugin
    from mirror.cli.plugins.inspect_output import print_folder
    from mirror.plugin.lint.plugin_view import view_plugin
    from mirror.transfer.progress_reporting import SilentProgress

    print_folder(path, view_plugin(run_to_the_end(read_plugin(settings, path, SilentProgress()))), json=json)


def _show_install(settings: Settings, reference: Reference, form: InstallFormat, *, plain_http: bool) -> None:
    from mirror.app.plugin_inspection import advertised_host, inspect_reference
    from mirror.cli.install_output import FORMAT_NOTES, install_text

    # The config tells everything, so the layers are not read.
    found = run_to_the_end(inspect_reference(settings, reference, None, plain_http=plain_http))
    text = install_text(found, reference.host or advertised_host(settings), form)
    if note := FORMAT_NOTES.get(form):
        MESSAGES.out(f"note: {note}", highlight=False)
    # As it is: rich would expand tabs.
    typer.echo(text)


def _show_reference(
    settings: Settings,
    reference: Reference | LayoutReference,
    check: SignatureCheck,
    *,
    plain_http: bool,
    quick: bool,
    json: bool,
) -> None:
    from mirror.app.plugin_inspection import advertised_host, inspect_reference
    from mirror.authoring.installing.install_lines import install_lines
    from mirror.cli.plugins.inspect_output import print_inspection
    from mirror.cli.progress_bars import TagBars

    # Without progress the layers are not read.
    with TagBars(MESSAGES) as bars:
        progress = None if quick else bars.begin(str(reference))
        found = run_to_the_end(inspect_reference(settings, reference, progress, plain_http=plain_http, check=check))
    lines: tuple[InstallLine, ...] = ()
    if isinstance(reference, Reference):  # no engine can install from a layout file
        lines = install_lines(found, reference.host or advertised_host(settings))
    print_inspection(found, reference, lines, json=json)
