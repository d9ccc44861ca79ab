"""Options and output that the commands of the group ``tls`` share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.cli.printing import RESULTS
from mirror.oci.errors import StorageFault

if TYPE_CHECKING:
    from mirror.access.certificates.certificate_folder import CertificateFolder
    from mirror.settings import Settings

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
    root = (out or settings.storage.path / "tls").absolute()
    if not _is_readable(root):
        raise StorageFault(
            f"{root} cannot be read by this user; fix: run the command as the user of the server, or root"
        )
    return CertificateFolder(root)


def clients_folder_of(settings: Settings, out: Path | None) -> CertificateFolder:
    """Return the folder with the CA of clients, which may be another than that of the CA of the server."""
    tls = settings.server.tls
    if out is None and tls is not None and tls.client_ca is not None:
        folder = folder_of(settings, tls.client_ca.parent)
        if folder.client_ca_key.exists():
            return folder
    return folder_of(settings, out)


def _is_readable(folder: Path) -> bool:
    """Return True if this user may read a folder, or if it does not exist yet."""
    try:
        return not folder.exists() or os.access(folder, os.R_OK | os.X_OK, effective_ids=True)
    except PermissionError:  # of a folder above
        return False


def print_tls_section(**files: Path) -> None:
    """Print keys of the section ``server.tls``, as they are written in the configuration."""
    import yaml  # late, for a quick --help

    section = {"server": {"tls": {key: str(path) for key, path in files.items()}}}
    RESULTS.out(yaml.safe_dump(section, sort_keys=False, allow_unicode=True, width=10_000), end="", highlight=False)
