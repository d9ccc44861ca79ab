"""``plugin-mirror tls renew``: replace the certificate of the server by a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import RESULTS, print_json
from mirror.cli.tls.tls_options import NamesOption, OutOption, folder_of
from mirror.oci.errors import ConfigurationFault
from mirror.oci.timestamps import machine_time
from mirror.runtime.clock import SystemClock

if TYPE_CHECKING:
    from mirror.access.certificates.certificate_folder import ServerFiles
    from mirror.settings import Settings


def run(
    sans: NamesOption = None,
    out: OutOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Replace the certificate of the server by a new one from the local CA.

    The key stays. A running server uses the new certificate after seconds, and
    no connection ends. With --san, the certificate gets these names and those
    of loopback, as far as the CA permits them.
    """
    from mirror.access.certificates.certificate_names import CertificateNames
    from mirror.access.certificates.certificate_renewal import renew

    files = _files(settings_of(config, data), out)
    names = None if sans is None else CertificateNames.parse(sans).with_loopback()
    new = renew(files, names, SystemClock().now())
    given, expires = list(CertificateNames.of(new)), machine_time(new.not_valid_after_utc)
    if json:
        print_json({"certificate": str(files.certificate), "names": given, "expires": expires})
    else:
        RESULTS.out(f"{files.certificate}: valid for {', '.join(given)} until {expires}", highlight=False)


def _files(settings: Settings, out: Path | None) -> ServerFiles:
    from mirror.app.tls.certificate_keeping import renewable_files

    tls = settings.server.tls
    if out is not None or tls is None:
        return folder_of(settings, out).server
    files = renewable_files(settings)
    if files is None:
        raise ConfigurationFault(
            f"{tls.certificate} is renewed by the program that made it, because server.tls.ca_key is not set; "
            "fix: set ca and ca_key if they are of a local CA, or name its folder with --out"
        )
    return files
