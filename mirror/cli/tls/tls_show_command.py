"""``plugin-mirror tls show``: show the files of TLS, and until when they are valid."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mirror.cli import exit_codes
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import RESULTS, print_json, wrapped
from mirror.cli.tls.tls_options import OutOption, folder_of
from mirror.oci.errors import ConfigurationFault
from mirror.oci.timestamps import machine_time, rounded_span
from mirror.runtime.clock import SystemClock

if TYPE_CHECKING:
    from mirror.access.certificates.certificate_facts import CertificateFacts, FileFacts
    from mirror.settings import Settings
    from mirror.settings.server.server_tls_settings import ServerTlsSettings


def run(out: OutOption = None, config: ConfigOption = None, data: DataOption = None, json: JsonOption = False) -> None:
    """Show the files of server.tls: names, issuers, and until when they are valid.

    Certificates that 'tls client' has made follow, unless they are revoked.

    Exit code 1: a file cannot be used, is expired, or expires within 30 days
    (within the last third of a shorter lifetime).
    """
    from mirror.access.certificates.certificate_facts import client_facts, file_facts

    settings, now = settings_of(config, data), SystemClock().now()
    found = [*file_facts(_paths(settings, out)), *client_facts(folder_of(settings, out))]
    if json:
        print_json([facts.to_json(now) for facts in found])
    else:
        for facts in found:
            _print(facts, now)
    if not all(facts.is_well(now) for facts in found):
        raise typer.Exit(exit_codes.ANSWER_IS_NO)


def _paths(settings: Settings, out: Path | None) -> ServerTlsSettings:
    if out is None and settings.server.tls is not None:
        return settings.server.tls
    from mirror.settings.server.server_tls_settings import ServerTlsSettings

    folder = folder_of(settings, out)
    files = folder.server
    if not files.certificate.exists():
        raise ConfigurationFault(
            f"server.tls is not set, and there is no {files.certificate}; fix: make one with 'plugin-mirror tls init'"
        )
    optional = {"ca": files.ca, "ca_key": files.ca_key, "client_ca": folder.client_ca, "client_crl": folder.client_crl}
    existing = {key: path for key, path in optional.items() if path.exists()}
    return ServerTlsSettings(certificate=files.certificate, key=files.key, **existing)


def _print(facts: FileFacts, now: datetime) -> None:
    RESULTS.out(f"{facts.kind}: {facts.path}", highlight=False)
    if facts.fault is not None:
        RESULTS.out(wrapped(RESULTS, f"  fault: {facts.fault}", 4), highlight=False)
    for each in facts.content:
        for line in _lines(each, now):
            RESULTS.out(wrapped(RESULTS, f"  {line}", 4), highlight=False)


def _lines(facts: CertificateFacts, now: datetime) -> list[str]:
    lines = [f"{facts.subject}, issued by {facts.issuer}"]
    if facts.names:
        lines.append(f"for {', '.join(facts.names)}")
    return [*lines, _validity(facts, now)]


def _validity(facts: CertificateFacts, now: datetime) -> str:
    state, expires = facts.state(now), facts.expires
    if state == "not yet valid":
        return f"not yet valid: begins {machine_time(facts.begins)}"
    if expires is None:
        return state
    left = f"{rounded_span(now - expires)} ago" if state == "expired" else f"in {rounded_span(expires - now)}"
    return f"{state}: {'expired' if state == 'expired' else 'expires'} {machine_time(expires)}, {left}"
