"""``plugin-mirror tls host-setup``: print a script that makes the engines of a host trust this server."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, print_json
from mirror.cli.tls.tls_options import OutOption, folder_of
from mirror.oci.errors import ConfigurationFault

if TYPE_CHECKING:
    from mirror.access.certificates.certificate_names import CertificateNames
    from mirror.access.certificates.host_setup import MirrorAddress
    from mirror.settings import Settings


def run(
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="HOST:PORT",
            help="Address of this server in the names of plugins. Default: server.url, else the first name of the "
            "certificate with the port of server.listen.",
        ),
    ] = None,
    out: OutOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Print a shell script that makes the engines of a host trust this server.

    The script contains the CA certificate. Standard error has two commands
    with which a host gets the same script from the server and checks it.
    """
    from mirror.access.certificates.certificate_names import CertificateNames
    from mirror.access.certificates.host_setup import host_setup_script, script_hash
    from mirror.access.certificates.pem_files import read_certificates

    settings = settings_of(config, data)
    certificate, ca = _files(settings, out)
    names = CertificateNames.of(read_certificates(certificate)[0])
    told = _address(settings, names, address)
    script = host_setup_script(told, read_certificates(ca))
    served = _served(settings) or told
    commands = _commands(_url(settings, told), script_hash(script)) if served == told else []
    if json:
        print_json(
            {
                "address": str(told),
                "script": script.decode(),
                "sha256": script_hash(script),
                "commands": commands,
            }
        )
    else:
        RESULTS.out(script.decode(), end="", highlight=False)
        _print_commands(commands, served)
    if not names.covers(told.host):
        MESSAGES.out(
            f"warning: the certificate is for {', '.join(names)}, so engines refuse it for {told.host}; fix: "
            f"'plugin-mirror tls renew --san {told.host}', or another HOST:PORT",
            highlight=False,
        )


def _print_commands(commands: list[str], served: MirrorAddress) -> None:
    if not commands:
        MESSAGES.out(
            f"the server offers the script for {served} only, because of server.url; bring this one to the host by "
            "other means, and run it as root",
            highlight=False,
        )
        return
    MESSAGES.out("this script is served too; on a host, fetch it, check it, and run it as root:", highlight=False)
    for command in commands:
        MESSAGES.out(f"  {command}", highlight=False)


def _commands(url: str, digest: str) -> list[str]:
    script = "host-setup.sh"
    return [
        f"curl -fsSk {shlex.quote(f'{url}/{script}')} -o {script}",
        f"echo '{digest}  {script}' | sha256sum -c && sudo sh {script}",
    ]


def _files(settings: Settings, out: Path | None) -> tuple[Path, Path]:
    """Return the files of the server's certificate and of the CA certificate."""
    tls = settings.server.tls
    if out is not None or tls is None:
        files = folder_of(settings, out).server
        return files.certificate, files.ca
    if tls.ca is None:
        raise ConfigurationFault(
            "server.tls.ca is not set, so hosts need no CA certificate of this server; fix: set it to the certificate "
            "that hosts have to trust"
        )
    return tls.certificate, tls.ca


def _address(settings: Settings, names: CertificateNames, text: str | None) -> MirrorAddress:
    from mirror.access.certificates.host_setup import MirrorAddress

    if text is not None:
        return MirrorAddress.parse(text)
    if (served := _served(settings)) is not None:
        return served
    if names.main is None or names.main.startswith("*."):
        raise ConfigurationFault("the certificate names no host; fix: write HOST:PORT after the command")
    return MirrorAddress(names.main, settings.server.listen.port)


def _served(settings: Settings) -> MirrorAddress | None:
    """Return the address in the script that the server offers; None if the server takes it from each request."""
    from mirror.access.certificates.host_setup import MirrorAddress

    server = settings.server
    return None if server.url is None else MirrorAddress.of_url(server.url, server.listen.port)


def _url(settings: Settings, address: MirrorAddress) -> str:
    """Return the URL of the server. A path of ``server.url`` belongs to it."""
    url = urlsplit(settings.server.url or "")
    return f"https://{address}{url.path}"
