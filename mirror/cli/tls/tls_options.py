"""The group ``tls`` of commands, and what its commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from mirror.cli.printing import RESULTS
from mirror.settings import Settings

if TYPE_CHECKING:
    from mirror.access.certificates.certificate_folder import CertificateFolder

app = typer.Typer(no_args_is_help=True, help="Make, renew and show certificates for TLS.")

OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="Folder of the certificates. Default: that of server.tls.ca_key, else the folder tls of the data folder.",
    ),
]
NamesOption = Annotated[
    list[str] | None,
    typer.Option("--san", metavar="NAME|IP", help="Host name or IP address of this server. Repeatable."),
]


def folder_of(settings: Settings, out: Path | None) -> CertificateFolder:
    """Return the folder with the files of the local CA."""
    from mirror.access.certificates.certificate_folder import CertificateFolder  # late, for a quick --help

    tls = settings.server.tls
    if out is None and tls is not None and tls.ca_key is not None:
        out = tls.ca_key.parent
    return CertificateFolder((out or settings.storage.path.expanduser() / "tls").absolute())


def print_tls_section(**files: Path) -> None:
    """Print keys of the section ``server.tls``, as they are written in the configuration."""
    section = {"server": {"tls": {key: str(path) for key, path in files.items()}}}
    RESULTS.out(yaml.safe_dump(section, sort_keys=False, allow_unicode=True, width=10_000), end="", highlight=False)
