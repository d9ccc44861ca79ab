"""Name constraints of a CA: the names that its server certificates may have (RFC 5280, section 4.2.1.10). Pure."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from cryptography import x509

from mirror.access.certificates.certificate_names import CertificateNames, IpAddress, IpNetwork

_EVERY_NETWORK: Final = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
#: The empty name matches every DNS name.
_EVERY_NAME: Final = ""


def constraints_for(names: CertificateNames) -> x509.NameConstraints:
    """Return constraints that permit exactly these addresses, and these DNS names with the names below them.

    A kind of name without any permitted value would be unconstrained. That kind is excluded as a whole.
    """
    permitted = [*map(x509.DNSName, names.dns), *(x509.IPAddress(ip_network(address)) for address in names.ips)]
    excluded: list[x509.GeneralName] = []
    if not names.dns:
        excluded.append(x509.DNSName(_EVERY_NAME))
    if not names.ips:
        excluded += [x509.IPAddress(network) for network in _EVERY_NETWORK]
    return x509.NameConstraints(permitted or None, excluded or None)


def refused_names(ca: x509.Certificate, names: CertificateNames) -> list[str]:
    """Return the names that the constraints of a CA do not permit. Without constraints every name is permitted."""
    try:
        found = ca.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return []
    permitted, excluded = found.permitted_subtrees or [], found.excluded_subtrees or []

    def is_refused(name: str | IpAddress) -> bool:
        allowed = [subtree for subtree in permitted if _is_same_kind(subtree, name)]
        return (bool(allowed) and not any(_is_inside(name, subtree) for subtree in allowed)) or any(
            _is_inside(name, subtree) for subtree in excluded
        )

    return [str(name) for name in (*names.dns, *names.ips) if is_refused(name)]


def _is_same_kind(subtree: x509.GeneralName, name: str | IpAddress) -> bool:
    # IPv4 and IPv6 addresses are one kind: a CA that permits only IPv4 networks permits no IPv6 address.
    return isinstance(subtree, x509.DNSName if isinstance(name, str) else x509.IPAddress)


def _is_inside(name: str | IpAddress, subtree: x509.GeneralName) -> bool:
    if isinstance(name, str):
        if not isinstance(subtree, x509.DNSName):
            return False
        above = subtree.value.lower()
        return not above or name == above or name.endswith(above if above.startswith(".") else f".{above}")
    network: IpNetwork | object = subtree.value
    return isinstance(network, IPv4Network | IPv6Network) and network.version == name.version and name in network
