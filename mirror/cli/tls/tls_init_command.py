"""``plugin-mirror tls init``: make a local CA, and a certificate for the server."""

from __future__ import annotations

import socket

from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, print_json
from mirror.cli.tls.tls_options import NamesOption, OutOption, folder_of, print_tls_section
from mirror.runtime.clock import SystemClock


def run(
    sans: NamesOption = None,
    out: OutOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Make a CA for this server alone, and a certificate for the server.

    The CA can make certificates for the given names only. Without --san, these
    are the host name and the full name of this machine. The names of loopback
    are always among them. The server renews its certificate by itself.
    """
    from mirror.access.certificates.certificate_folder import make_server_files
    from mirror.access.certificates.certificate_names import CertificateNames

    folder = folder_of(settings_of(config, data), out)
    names = CertificateNames.parse(machine_names() if sans is None else sans).with_loopback()
    make_server_files(folder, names, SystemClock().now())
    files = folder.server
    MESSAGES.out(f"made a CA and a certificate for {', '.join(names)}", highlight=False)
    section = {"certificate": files.certificate, "key": files.key, "ca": files.ca, "ca_key": files.ca_key}
    if json:
        print_json({key: str(path) for key, path in section.items()} | {"names": list(names)})
    else:
        print_tls_section(**section)
    for line in (
        f"next: add these lines to the configuration, start the server, and let the hosts trust {files.ca}:",
        "  plugin-mirror tls host-setup --config FILE",
        f"keep {files.ca_key} secret, and a copy of it in a safe place",
    ):
        MESSAGES.out(line, highlight=False)


def machine_names() -> list[str]:
    """Return the full name and the host name of this machine, without names that no certificate can have."""
    from mirror.access.certificates.certificate_names import parse_dns_name

    return [name for name in (socket.getfqdn(), socket.gethostname()) if parse_dns_name(name) is not None]
