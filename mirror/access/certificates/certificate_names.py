"""DNS names and IP addresses of a server certificate. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

from cryptography import x509

from mirror.access.certificates.client_names import UNREADABLE
from mirror.oci.errors import ConfigurationFault

IpAddress: TypeAlias = IPv4Address | IPv6Address
IpNetwork: TypeAlias = IPv4Network | IPv6Network

_LONGEST: Final = 253
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# The last label has a letter. A name that ends with a number would be read as an IPv4 address by some clients.
_DNS_NAME: Final = re.compile(rf"(?=.{{1,{_LONGEST}}}\Z)(?:{_LABEL}\.)*(?=[0-9-]*[a-z]){_LABEL}")
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def parse_dns_name(text: str) -> str | None:
    """Return a host name in lower case, or None if the text is not a host name in ASCII (RFC 1123)."""
    return text.lower() if text.isascii() and _DNS_NAME.fullmatch(text.lower()) else None


def parse_ip_address(text: str) -> IpAddress | None:
    """Return an IP address, or None if the text is not an address. An address with a zone is none."""
    try:
        return ip_address(text) if "%" not in text else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """Subject alternative names of a server certificate, each once, in the order in which they were given.

    Attributes:
        dns: host names in lower case.
        ips: IP addresses.
    """

    dns: tuple[str, ...] = ()
    ips: tuple[IpAddress, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> CertificateNames:
        """Parse host names and IP addresses.

        Raises:
            ConfigurationFault: a text is neither, such as a name with a port or a wildcard.
        """
        dns, ips = [], []
        for text in texts:
            if (address := parse_ip_address(text)) is not None:
                ips.append(address)
            elif (name := parse_dns_name(text)) is not None:
                dns.append(name)
            else:
                raise ConfigurationFault(
                    f"{text!r} is neither a host name nor an IP address; fix: write it without scheme, port and "
                    "wildcard, such as mirror.example or 10.1.2.3"
                )
        return cls(tuple(dict.fromkeys(dns)), tuple(dict.fromkeys(ips)))

    @classmethod
    def of(cls, certificate: x509.Certificate) -> CertificateNames:
        """Return the DNS names and IP addresses of a certificate. Other kinds of names are left out."""
        try:
            found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (x509.ExtensionNotFound, *UNREADABLE):
            return cls()
        ips = found.get_values_for_type(x509.IPAddress)
        return cls(
            tuple(name.lower() for name in found.get_values_for_type(x509.DNSName)),
            tuple(ip for ip in ips if isinstance(ip, IPv4Address | IPv6Address)),
        )

    def with_loopback(self) -> CertificateNames:
        """Return these names, and those of the machine itself: ``localhost``, ``127.0.0.1`` and ``::1``."""
        return CertificateNames.parse([*self, *_LOOPBACK])

    @property
    def main(self) -> str | None:
        """The first name by which other machines reach the server, else the first name; None if there are no names."""
        return next((name for name in self if name not in _LOOPBACK), next(iter(self), None))

    def covers(self, host: str) -> bool:
        """Return True if a client that connects to ``host``, without brackets, accepts the names."""
        address = parse_ip_address(host)
        if address is not None:
            return address in self.ips
        wildcard = f"*.{host.lower().partition('.')[2]}"
        return host.lower() in self.dns or wildcard in self.dns

    def __iter__(self) -> Iterator[str]:
        yield from self.dns
        yield from map(str, self.ips)

    def extension(self) -> x509.SubjectAlternativeName:
        """Return the names as an extension of a certificate."""
        return x509.SubjectAlternativeName([*map(x509.DNSName, self.dns), *map(x509.IPAddress, self.ips)])
