"""``plugin-mirror derive``: copy a plugin under a new name with other defaults."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, new_name, pairs, settings_of
from mirror.cli.plugin_sources import PlainHttpOption
from mirror.cli.printing import MESSAGES, RESULTS, print_json, size
from mirror.cli.progress_bars import TagBars
from mirror.oci import Reference
from mirror.oci.errors import ConfigurationFault

if TYPE_CHECKING:
    from mirror.authoring.derive import Renamed


def run(
    reference: Annotated[
        str,
        typer.Argument(metavar="REF", help="NAME, NAME:TAG or NAME@DIGEST. With HOST/ it is read from that registry."),
    ],
    name: Annotated[str, typer.Argument(metavar="NAME[:TAG]", help="Name of the copy in the local store.")],
    *,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", "-e", metavar="KEY=VALUE", help="Default of an environment variable. Repeatable."),
    ] = None,
    mount: Annotated[
        list[str] | None, typer.Option(metavar="NAME=SOURCE", help="Source of a mount. Repeatable.")
    ] = None,
    device: Annotated[list[str] | None, typer.Option(metavar="NAME=PATH", help="Path of a device. Repeatable.")] = None,
    args: Annotated[
        str | None, typer.Option(metavar="WORDS", help="Arguments after the entrypoint, quoted as in a shell.")
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Fix digests and media types, so that engines since 1.13 accept the plugin.")
    ] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    plain_http: PlainHttpOption = False,
    json: JsonOption = False,
) -> None:
    """Copy a plugin under a new name, with other defaults and the same layers.

    The original is kept in the same repository, by its digest. 'inspect' shows
    which plugin the copy was made from, by whom, and what differs. The same input
    gives the same digest.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.plugin_authoring import derive_reference
    from mirror.plugin.build.derivation_changes import DerivationChanges

    parsed, (repository, given) = Reference.parse(reference), new_name(name)
    changes = DerivationChanges(
        env=pairs("--env", env or ()),
        mounts=pairs("--mount", mount or ()),
        devices=pairs("--device", device or ()),
        args=None if args is None else _words(args),
        fix=fix,
    )
    settings = settings_of(config, data)
    with TagBars(MESSAGES) as bars:
        bar = bars.begin(f"{repository}:{given}")
        renamed = run_to_the_end(
            derive_reference(settings, parsed, (repository, given), changes, bar, plain_http=plain_http)
        )
    for advice in renamed.derived.advice:
        MESSAGES.out(f"note: {advice}", highlight=False)
    if json:
        print_json({"name": str(repository), "tag": str(given), **_as_json(renamed)})
    else:
        _print(f"{repository}:{given}", renamed)


def _as_json(renamed: Renamed) -> dict[str, Any]:
    before = renamed.named.before
    return {
        "digest": str(renamed.named.digest),
        "before": before and str(before),
        "derived_from": str(renamed.original),
        "changed": list(renamed.derived.changed),
        "moved_bytes": renamed.moved_bytes,
        "warnings": list(renamed.derived.advice),
    }


def _print(label: str, renamed: Renamed) -> None:
    named, changed = renamed.named, renamed.derived.changed
    RESULTS.out(f"{label} is {named.digest}", highlight=False)
    if named.before not in {None, named.digest}:
        RESULTS.out(f"  before {named.before}", highlight=False)
    if renamed.moved_bytes:
        RESULTS.out(f"  {size(renamed.moved_bytes)} moved", highlight=False)
    if not changed:
        RESULTS.out("  no changes: this is the original plugin", highlight=False)
        return
    RESULTS.out(f"  derived from {renamed.original}", highlight=False)
    for line in changed:
        RESULTS.out(f"  {line}", highlight=False)


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ConfigurationFault(f"--args {text!r}: {error}") from error
