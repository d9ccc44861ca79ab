"""``plugin-mirror tls client`` and ``tls revoke``: make and revoke certificates of clients."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, print_done, print_json
from mirror.cli.tls.tls_options import OutOption, clients_folder_of, print_tls_section
from mirror.oci.errors import ConfigurationFault
from mirror.runtime.clock import SystemClock


def client(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the client. Access rules call it cert:CN=NAME.")],
    days: Annotated[int, typer.Option("--days", min=1, max=3652, help="Lifetime of the certificate in days.")] = 365,
    *,
    out: OutOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Make a certificate and a key for a client, such as a Docker host.

    The first use makes a CA for clients, which hosts do not need to trust.
    """
    from mirror.access.certificates.client_issuing import issue_client_certificate

    settings = settings_of(config, data)
    folder = clients_folder_of(settings, out)
    paths = issue_client_certificate(folder, name, timedelta(days=days), SystemClock().now())
    authority = folder.client_ca, folder.client_crl
    if json:
        made = {
            "certificate": paths[0],
            "key": paths[1],
            "client_ca": folder.client_ca,
            "client_crl": folder.client_crl,
        }
        print_json({key: str(path) for key, path in made.items()})
        return
    for path in paths:
        RESULTS.out(str(path), highlight=False)
    MESSAGES.out(
        "next: copy them to the host as client.cert and client.key, into /etc/docker/certs.d/HOST:PORT/",
        highlight=False,
    )
    tls = settings.server.tls
    if tls is None or (tls.client_ca, tls.client_crl) != authority:
        MESSAGES.out("and let the server accept them, with these lines in its configuration:", highlight=False)
        print_tls_section(client_ca=folder.client_ca, client_crl=folder.client_crl)


def revoke(
    client: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="Name of the client, or file with its certificate.")
    ],
    out: OutOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Revoke the certificate of a client. Running servers refuse it after seconds."""
    from mirror.access.certificates.client_issuing import revoke_client_certificate

    folder = clients_folder_of(settings_of(config, data), out)
    named = Path(client) if "/" in client else folder.client(client)[0]
    if not named.exists():
        named = Path(client)
    if not named.exists():
        raise ConfigurationFault(
            f"there is no certificate of a client {client} in {folder.clients}, and no such file; "
            "fix: name a client for which 'tls client' has made one, or the file of its certificate"
        )
    is_new = revoke_client_certificate(folder, named, SystemClock().now())
    told = {"certificate": str(named), "was_revoked_before": not is_new}
    print_done(f"{named} {'is revoked' if is_new else 'was revoked before'}", told, as_json=json)
