"""``plugin-mirror bundle installer``: write the program that installs plugins from bundles."""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import JsonOption
from mirror.cli.printing import RESULTS, print_json, size


def run(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="F", help="File to write or to replace.")],
    *,
    json: JsonOption = False,
) -> None:
    """Write a program that installs plugins from a bundle on a host without a registry.

    The program is one file. It needs Python 3.6 or later and docker, nothing else.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.bundle.format.output_file import write_document
    from mirror.bundle.installer_archive import installer_archive
    from mirror.oci import Digest

    content = installer_archive()
    run_to_the_end(write_document(output, content))
    with suppress(OSError):  # FAT has no modes, and python3 needs none
        output.chmod(0o755)
    sha256 = Digest.of(content).hex
    if json:
        print_json({"file": str(output), "size_bytes": len(content), "sha256": sha256})
        return
    RESULTS.out(f"wrote {output}: {size(len(content))}, sha256 {sha256}", highlight=False)
    RESULTS.out(f"next, on a host: {shlex.join(['python3', str(output)])} BUNDLE NAME:TAG --key F.pub", highlight=False)
