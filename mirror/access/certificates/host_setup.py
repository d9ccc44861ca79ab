"""Shell script that makes the engines of a host trust the CA of this server. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509

from mirror.access.certificates.certificate_names import parse_dns_name, parse_ip_address
from mirror.access.certificates.pem_files import certificates_pem
from mirror.oci.errors import ConfigurationFault

HTTPS_PORT: Final = 443
_FORM: Final = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?", re.ASCII)
_SCRIPT: Final = """\
#!/bin/sh
# Makes Docker Engine and podman on this host trust the certificate of {address}.
# For a rootless engine: CERTS_D=~/.config/docker/certs.d sh host-setup.sh
set -eu
umask 022
certs_d=${{CERTS_D:-/etc/docker/certs.d}}
for folder in {folders}; do
    mkdir -p "$folder"
    cat >"$folder/ca.crt.new" <<'END'
{certificates}END
    mv -f "$folder/ca.crt.new" "$folder/ca.crt"
    echo "$folder/ca.crt is in place"
done
"""


@dataclass(frozen=True, slots=True)
class MirrorAddress:
    """Host and port of this server in the names of plugins.

    Attributes:
        host: a host name in lower case, or an IP address without brackets.
        port: TCP port.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, default_port: int = HTTPS_PORT) -> MirrorAddress:
        """Parse ``HOST``, ``HOST:PORT`` or ``[IPV6]:PORT``.

        Args:
            text: the address.
            default_port: port of an address without one.

        Raises:
            ConfigurationFault: the text has another form.
        """
        match = _FORM.fullmatch(text)
        if match is not None:
            host, port = match[1], int(match[2] or default_port)
            known = _ipv6(host[1:-1]) if host.startswith("[") else _name_or_ipv4(host)
            if known is not None and 0 < port <= 65535:
                return cls(known, port)
        raise ConfigurationFault(
            f"{text!r} is not HOST:PORT; fix: write the address as it is in the names of plugins, such as "
            "mirror.example:5000 or [2001:db8::7]:5000"
        )

    @classmethod
    def of_url(cls, url: str, tls_port: int) -> MirrorAddress:
        """Return the address of this server with TLS.

        Args:
            url: URL at which clients reach the server.
            tls_port: port of the listener with TLS, for a URL without TLS.

        Raises:
            ConfigurationFault: the URL names no host.
        """
        parts = urlsplit(url)
        address = cls.parse(parts.netloc)
        return address if parts.scheme == "https" else cls(address.host, tls_port)

    @property
    def folders(self) -> tuple[str, ...]:
        """Names of the folders in ``certs.d``. Engines look for the address as it is in the name of a plugin."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        # With the port of HTTPS, both forms are in use.
        return (host, f"{host}:{self.port}") if self.port == HTTPS_PORT else (f"{host}:{self.port}",)

    def __str__(self) -> str:
        return self.folders[0]


def host_setup_script(address: MirrorAddress, ca: list[x509.Certificate]) -> bytes:
    """Return the script for hosts that reach the server at an address. Equal arguments give equal bytes.

    The script needs a POSIX shell. It writes ``ca.crt`` into folders of ``/etc/docker/certs.d``. Engines read them at
    each request, so that no engine has to be restarted.

    Args:
        address: address of the server.
        ca: certificates that the hosts have to trust.
    """
    folders = " ".join(f'"$certs_d/{folder}"' for folder in address.folders)
    return _SCRIPT.format(address=address, folders=folders, certificates=certificates_pem(ca).decode()).encode()


def script_hash(script: bytes) -> str:
    """Return the SHA-256 of a script in hexadecimal digits, as ``sha256sum`` prints it."""
    return hashlib.sha256(script).hexdigest()


def _ipv6(text: str) -> str | None:
    address = parse_ip_address(text)
    return str(address) if isinstance(address, IPv6Address) else None


def _name_or_ipv4(text: str) -> str | None:
    address = parse_ip_address(text)
    return parse_dns_name(text) if address is None else str(address)
