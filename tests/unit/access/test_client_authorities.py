"""Decisions about client certificates: names in them, their CAs, dates, and lists of revoked certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from mirror.access.callers import CertificateRefused
from mirror.access.certificates.client_authorities import ClientAuthorities, ClientAuthority
from mirror.access.certificates.client_certificates import ClientCertificates
from mirror.access.certificates.client_names import MOST_ALTERNATIVE_NAMES, identity_of
from mirror.oci.errors import ConfigurationFault
from tests.support.client_certificates import ClientCa, Issued, named
from tests.support.clocks import ShiftedClock

CA = ClientCa()
NOW = datetime.now(UTC)
IS_CA = (x509.BasicConstraints(ca=True, path_length=None), True)


def names(issued: Issued) -> list[str]:
    """The names apart from the last one, which is the digest of the certificate."""
    *found, digest = identity_of(issued.certificate).names
    assert digest.startswith("cert:SHA256=")
    return found


def authorities(folder: Path, *cas: ClientCa, lists: bytes | None = None) -> ClientAuthorities:
    """Read the files as a server does."""
    (folder / "ca.crt").write_bytes(b"".join(ca.pem for ca in cas))
    if lists is None:
        return ClientAuthorities.read(folder / "ca.crt", None)
    (folder / "clients.crl").write_bytes(lists)
    return ClientAuthorities.read(folder / "ca.crt", folder / "clients.crl")


def test_the_names_of_a_certificate_begin_with_the_common_name() -> None:
    issued = CA.issue(
        "host-12",
        x509.RFC822Name("ops@Example.org"),
        x509.UniformResourceIdentifier("spiffe://site/host-12"),
        x509.IPAddress(ip_address("192.0.2.7")),
        x509.DNSName("Host-12.example"),
        x509.DNSName("host-12.example"),
    )
    assert names(issued) == [
        "cert:CN=host-12",
        "cert:DNS=host-12.example",
        "cert:URI=spiffe://site/host-12",
        "cert:EMAIL=ops@example.org",
    ]


@pytest.mark.parametrize("common_names", [[], ["host-12", "root"], ["host\0"], ["h\u043est"], ["*"]])
def test_a_subject_that_gives_no_name(common_names: list[str]) -> None:
    issued = CA.issue(named(*common_names))
    assert names(issued) == []
    assert identity_of(issued.certificate).name.startswith("cert:SHA256=")


@pytest.mark.parametrize(
    "extensions",
    [
        [(x509.SubjectAlternativeName([x509.DNSName(f"h{n}") for n in range(MOST_ALTERNATIVE_NAMES + 1)]), False)],
        [(x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.17"), b"\x30\x03\x82\x05ab"), False)],
        [(x509.SubjectAlternativeName([x509.DNSName("*.example")]), False)],
    ],
    ids=["too many", "unreadable", "a wildcard"],
)
def test_alternative_names_that_do_not_count(extensions: list[tuple[Any, bool]]) -> None:
    assert names(CA.issue("host-12", extensions=extensions)) == ["cert:CN=host-12"]


@given(st.lists(st.text(min_size=1, max_size=16), max_size=3))
def test_whatever_a_subject_holds_gives_at_most_one_name(values: list[str]) -> None:
    found = names(CA.issue(named(*values)))
    assert found in ([], [f"cert:CN={values[0]}"] if len(values) == 1 else [])


def test_a_certificate_of_a_ca_in_the_file_is_good(tmp_path: Path) -> None:
    known, host = authorities(tmp_path, ClientCa("others"), CA), CA.issue("host-12")
    assert known.known(host.der, NOW) is None
    assert known.judge(host.der, NOW).name == "cert:CN=host-12"
    assert known.known(host.der, NOW) == known.judge(host.der, NOW)
    for days in (-2, 31):
        assert known.known(host.der, NOW + timedelta(days=days)) is None


def test_a_certificate_of_a_ca_below_another_one_needs_both_to_be_good(tmp_path: Path) -> None:
    root = ClientCa("root")
    below = ClientCa("below", parent=root)
    host = below.issue("host-12")
    lists = root.revoked() + below.revoked()
    assert authorities(tmp_path, root, below, lists=lists).judge(host.der, NOW).name == "cert:CN=host-12"
    assert authorities(tmp_path, below).judge(host.der, NOW).name == "cert:CN=host-12"
    with pytest.raises(CertificateRefused, match=r"add the certificate of CN=below to the file"):
        authorities(tmp_path, root).judge(host.der, NOW)
    known = authorities(tmp_path, root, below, lists=root.revoked(below.own) + below.revoked())
    with pytest.raises(CertificateRefused, match=r"^the certificate CN=below has been revoked"):
        known.judge(host.der, NOW)


def test_of_a_renewed_ca_the_certificate_that_lasts_counts(tmp_path: Path) -> None:
    old, new = ClientCa(days=1), ClientCa()
    new.own = old._signed(named("clients"), named("clients"), old.own.key, old.own.key, timedelta(days=99), [IS_CA])
    later = NOW + timedelta(days=2)
    assert authorities(tmp_path, old, new).judge(old.issue("host-12").der, later).name == "cert:CN=host-12"


def test_another_ca_with_the_same_name_has_signed_nothing(tmp_path: Path) -> None:
    host = CA.issue("host-12")
    with pytest.raises(CertificateRefused, match=r"^cert:CN=host-12 is not from a CA in server\.tls\.client_ca; fix: "):
        authorities(tmp_path, ClientCa()).judge(host.der, NOW)


@pytest.mark.parametrize("days", [-2, 31])
def test_a_certificate_counts_between_its_dates(tmp_path: Path, days: int) -> None:
    known, host = authorities(tmp_path, CA), CA.issue("host-12")
    assert known.judge(host.der, NOW).name == "cert:CN=host-12"
    with pytest.raises(
        CertificateRefused, match=r"^the certificate CN=host-12 is valid from 2\S+Z to 2\S+Z, and it is "
    ):
        known.judge(host.der, NOW + timedelta(days=days))
    assert known.judge(host.der, NOW).name == "cert:CN=host-12"


def test_certificates_end_with_their_ca(tmp_path: Path) -> None:
    ca = ClientCa(days=10)
    known, host = authorities(tmp_path, ca), ca.issue("host-12")
    assert known.judge(host.der, NOW).name == "cert:CN=host-12"
    with pytest.raises(CertificateRefused, match=r"^the certificate CN=clients is valid from "):
        known.judge(host.der, NOW + timedelta(days=11))


def test_a_revoked_certificate_is_refused(tmp_path: Path) -> None:
    host, other = CA.issue("host-12"), CA.issue("host-12")
    known = authorities(tmp_path, CA, lists=CA.revoked(host))
    assert known.judge(other.der, NOW).name == "cert:CN=host-12"
    with pytest.raises(CertificateRefused, match=r"^the certificate CN=host-12 has been revoked; fix: "):
        known.judge(host.der, NOW)


def test_the_newest_list_of_a_ca_counts(tmp_path: Path) -> None:
    host = CA.issue("host-12")
    old, new = CA.revoked(lasting=timedelta(days=7)), CA.revoked(host, lasting=timedelta(days=8))
    for lists in (old + new, new + old):
        with pytest.raises(CertificateRefused, match="has been revoked"):
            authorities(tmp_path, CA, lists=lists).judge(host.der, NOW)


def test_without_a_new_list_nobody_is_good(tmp_path: Path) -> None:
    host = CA.issue("host-12")
    known = authorities(tmp_path, CA, lists=CA.revoked(lasting=timedelta(days=7)))
    assert known.judge(host.der, NOW).name == "cert:CN=host-12"
    with pytest.raises(CertificateRefused, match=r"^the list of certificates that CN=clients has revoked ended on "):
        known.judge(host.der, NOW + timedelta(days=8))


@given(st.binary(max_size=300))
def test_bytes_that_are_no_certificate_are_refused(der: bytes) -> None:
    with pytest.raises(CertificateRefused, match="cannot be read"):
        ClientAuthorities([]).judge(der, NOW)


HOST = CA.issue("host-12", x509.DNSName("host-12.example"), x509.RFC822Name("ops@example.org"))


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_a_serial_number_that_is_not_positive_is_refused() -> None:
    changed = bytearray(HOST.der)
    version = b"\xa0\x03\x02\x01\x02"  # before the tag, the length and the bytes of the serial number
    changed[HOST.der.index(version) + len(version) + 2] |= 0x80
    with pytest.raises(CertificateRefused, match=r"cannot be read: its serial number is not positive"):
        ClientAuthorities([ClientAuthority(CA.own.certificate, None)]).judge(bytes(changed), NOW)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@given(st.lists(st.tuples(st.integers(0, len(HOST.der) - 1), st.integers(1, 255)), min_size=1, max_size=3))
def test_a_certificate_with_other_bytes_gives_no_other_name(changes: list[tuple[int, int]]) -> None:
    changed = bytearray(HOST.der)
    for place, difference in changes:
        changed[place] ^= difference
    try:
        identity = ClientAuthorities([ClientAuthority(CA.own.certificate, None)]).judge(bytes(changed), NOW)
    except CertificateRefused as error:
        assert bytes(changed) != HOST.der
        assert error.message.isprintable()
    else:  # the number of unused bits, which is not signed, may differ
        assert list(identity.names[:-1]) == names(HOST)


def test_certificates_that_are_remembered_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirror.access.certificates.client_authorities._MOST_KNOWN", 2)
    known, hosts = authorities(tmp_path, CA), [CA.issue(f"host-{number}") for number in range(3)]
    for host in hosts:
        known.judge(host.der, NOW)
    assert [known.known(host.der, NOW) is not None for host in hosts] == [False, False, True]


@pytest.mark.parametrize(
    ("ca", "lists", "why"),
    [
        (b"", None, r"^server\.tls\.client_ca \S+ca\.crt has no certificate in PEM format; fix: "),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None, "has no certificate in PEM format"),
        (CA.issue("host-12").pem, None, r"has a certificate that is not of a CA: CN=host-12; fix: remove it"),
        (
            CA.pem,
            b"",
            r"^server\.tls\.client_crl \S+ has no list of revoked certificates in PEM format; fix: ",
        ),
        (CA.pem, ClientCa("others").revoked(), "has no list of revoked certificates that CN=clients"),
        (
            CA.pem,
            ClientCa().revoked(),
            "has no list of revoked certificates that CN=clients",
        ),  # the same name, signed by another key
        (
            CA.pem,
            b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
            r"has a damaged list of revoked certificates; fix: have the CA write it again",
        ),
        (CA.pem, CA.revoked(extensions=[(x509.DeltaCRLIndicator(1), True)]), "is not complete by itself"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, ca: bytes, lists: bytes | None, why: str) -> None:
    (tmp_path / "ca.crt").write_bytes(ca)
    (tmp_path / "clients.crl").write_bytes(lists or b"")
    with pytest.raises(ConfigurationFault, match=why) as raised:
        ClientAuthorities.read(tmp_path / "ca.crt", None if lists is None else tmp_path / "clients.crl")
    assert "\n" not in raised.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match=r"^server\.tls\.client_ca .*none\.crt cannot be read: No such file"):
        ClientAuthorities.read(tmp_path / "none.crt", None)


async def test_a_change_of_the_files_counts_for_known_certificates_too(tmp_path: Path) -> None:
    clock, host = ShiftedClock(), CA.issue("host-12")
    ca, lists = tmp_path / "ca.crt", tmp_path / "clients.crl"
    ca.write_bytes(CA.pem)
    lists.write_bytes(CA.revoked())
    clients = ClientCertificates(ca, lists, clock)
    assert (await clients.identity(host.der)).name == "cert:CN=host-12"
    lists.write_bytes(b"half a fi")
    clock.advance(seconds=2)
    assert (await clients.identity(host.der)).name == "cert:CN=host-12"
    lists.write_bytes(CA.revoked(host))
    clock.advance(seconds=2)
    with pytest.raises(CertificateRefused, match="has been revoked"):
        await clients.identity(host.der)


async def test_a_certificate_of_a_new_ca_is_good_at_once(tmp_path: Path) -> None:
    path, other = tmp_path / "ca.crt", ClientCa("others")
    path.write_bytes(CA.pem)
    clients = ClientCertificates(path, None, ShiftedClock())
    path.write_bytes(CA.pem + other.pem)
    assert (await clients.identity(other.issue("host-12").der)).name == "cert:CN=host-12"
