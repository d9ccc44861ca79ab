"""``plugin-mirror capture``: an installed plugin taken out of a Docker Engine."""

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
from mirror.oci import Reference

if TYPE_CHECKING:
    from mirror.authoring.capture import Captured


def run(
    plugin: Annotated[str, typer.Argument(metavar="PLUGIN", help="Its name on the host, or its id.")],
    *,
    name: Annotated[
        str, typer.Option("--tag", "-t", metavar="NAME[:TAG]", help="Its new name; with HOST/ it is pushed there.")
    ],
    docker_root: Annotated[Path, typer.Option("--docker-root", metavar="DIR", help="Data root of the engine.")] = Path(
        "/var/lib/docker"
    ),
    output: OutputOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    plain_http: PlainHttpOption = False,
    json: JsonOption = False,
) -> None:
    """Take an installed plugin out of a Docker Engine, running or not, and give it a name of its own.

    The blobs that it was installed from are copied where the engine still has them; else it is built anew of its files,
    without what enabling has added. What users have set on the host is printed, and is no part of it. Takes root.
    """
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
    how = "its own blobs" if captured.verbatim else "built anew"
    where = f" into {output}" if output else ""
    RESULTS.out(
        f"captured {captured.record.name} as {reference}{where}: {size(manifest.content_size_bytes)}, {how}",
        highlight=False,
    )
    RESULTS.out(str(manifest.digest), highlight=False)
    if captured.record.changes:
        RESULTS.out("\nSet on this host, and to be given again where it is installed", style="bold", highlight=False)
        for change in captured.record.changes:
            RESULTS.out(f"  {shlex.quote(change)}", highlight=False)


def _as_json(captured: Captured, reference: Reference, output: Path | None) -> dict[str, Any]:
    return {
        "plugin": captured.record.name,
        "id": captured.record.plugin_id,
        "reference": str(reference),
        "file": None if output is None else str(output),
        "digest": str(captured.manifest.digest),
        "verbatim": captured.verbatim,
        "settings": list(captured.record.changes),
        "notes": list(captured.notes),
    }
