"""``plugin-mirror bundle installer``: write the program that installs plugins from bundles."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from mirror.cli.printing import RESULTS, size
from mirror.oci.errors import ConfigurationFault


def run(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="F", help="File to write or to replace.")],
) -> None:
    """Write a program that installs plugins from a bundle on a host without a registry.

    The program is one file. It needs Python 3.6 or later and docker, nothing else.
    """
    from mirror.bundle.installer_archive import installer_archive

    content = installer_archive()
    temporary = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.chmod(0o755)
        temporary.replace(output)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigurationFault(f"{output} cannot be written: {error.strerror}") from error
    RESULTS.out(f"wrote {output}: {size(len(content))}", highlight=False)
    RESULTS.out(f"{shlex.join(['python3', str(output)])} BUNDLE NAME:TAG --key F.pub", highlight=False)
