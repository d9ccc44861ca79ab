"""``plugin-mirror capture``: copy an installed plugin out of a Docker Engine."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.byte_bar import ByteBar
from mirror.cli.options import ConfigOption, DataOption, JsonOption, OutputOption, settings_of
from mirror.cli.plugin_sources import PlainHttpOption
from mirror.cli.plugins.pack_command import target
from mirror.cli.printing import MESSAGES, RESULTS, print_json, size
from mirror.oci.printable_text import printable

if TYPE_CHECKING:
    from mirror.authoring.capture import Captured
    from mirror.oci import Reference


def run(
    plugin: Annotated[str, typer.Argument(metavar="PLUGIN", help="Name or id of the plugin on this host.")],
    *,
    name: Annotated[
        str,
        typer.Option(
            "--tag", "-t", metavar="NAME[:TAG]", help="New name. With HOST/ the plugin is pushed to that registry."
        ),
    ],
    docker_root: Annotated[
        Path, typer.Option("--docker-root", metavar="DIR", help="Data root of the engine, as 'docker info' shows it.")
    ] = Path("/var/lib/docker"),
    output: OutputOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    plain_http: PlainHttpOption = False,
    json: JsonOption = False,
) -> None:
    """Copy an installed plugin out of a Docker Engine, under a new name.

    The engine may be running. The original blobs are copied if the engine still
    has all of them. Otherwise the plugin is built again from its files, without
    the entries that the engine adds when it enables a plugin. Settings that were
    changed on the host are printed, and are not part of the copy. Needs root.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.plugin_authoring import build_plugin
    from mirror.authoring.capture import capture

    reference = target(name, output)
    settings = settings_of(config, data)
    with ByteBar(MESSAGES, f"capturing {plugin}") as bar:
        build = partial(capture, docker_root, plugin, progress=bar)
        captured = run_to_the_end(build_plugin(settings, reference, build, output=output, plain_http=plain_http))
    for note in captured.notes:
        MESSAGES.out(f"note: {note}", highlight=False)
    if json:
        print_json(_as_json(captured, reference, output))
    else:
        _print(captured, reference, output)


def _print(captured: Captured, reference: Reference, output: Path | None) -> None:
    manifest = captured.manifest
    how = "with its original blobs" if captured.verbatim else "built from its files"
    where = f" into {output}" if output else ""
    RESULTS.out(
        f"captured {captured.record.name} as {reference}{where}: {size(manifest.content_size_bytes)}, {how}",
        highlight=False,
    )
    RESULTS.out(str(manifest.digest), highlight=False)
    if captured.settings:
        RESULTS.out(
            "\nSettings changed on this host; give them again when you install the plugin",
            style="bold",
            highlight=False,
        )
        for change in captured.settings:
            RESULTS.out(f"  {_pasteable(change)}", highlight=False)


def _pasteable(change: str) -> str:
    """Return a setting as one word of a shell. A value that a terminal cannot show is not printed."""
    if change.isprintable():
        return shlex.quote(change)
    return f"{printable(change.partition('=')[0])} has unprintable characters, so only --json has its value"


def _as_json(captured: Captured, reference: Reference, output: Path | None) -> dict[str, Any]:
    return {
        "plugin": captured.record.name,
        "id": captured.record.plugin_id,
        "reference": str(reference),
        "file": None if output is None else str(output),
        "digest": str(captured.manifest.digest),
        "verbatim": captured.verbatim,
        "settings": list(captured.settings),
        "notes": list(captured.notes),
    }
