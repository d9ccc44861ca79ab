"""Names of a certificate, and the constraints of a CA on them."""

from __future__ import annotations

import ssl
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from mirror.access.certificates.certificate_authority import CertificateAuthority, new_key
from mirror.access.certificates.certificate_names import CertificateNames, parse_dns_name, parse_ip_address
from mirror.access.certificates.name_constraints import constraints_for, refused_names
from mirror.oci.errors import ConfigurationFault
from tests.support.clocks import START
from tests.support.local_ca import client_context, forge, made, server_context, shake_hands

LABEL = st.from_regex(r"[a-z][a-z0-9]{0,10}", fullmatch=True)
DNS_NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
IP = st.ip_addresses().map(str)


@pytest.mark.parametrize(
    "text",
    [
        "mirror.example:5000",
        "https://mirror.example",
        "*.example",
        "",
        " ",
        ".",
        "a..b",
        "mirror.example.",
        "-a",
        "a-",
        "under_score",
        "10.0.0.300",
        "1.2.3",
        "12",
        "fe80::1%eth0",
        "[::1]",
        "bücher.example",
        "a\nb",
        "a" * 64,
        ".".join(["a" * 60] * 5),
        "a b",
        "\uff41.example",
        "../x",
    ],
)
def test_a_text_that_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationFault, match=r"is neither a host name nor an IP address; fix: "):
        CertificateNames.parse([text])


def test_names_are_told_apart_and_kept_once() -> None:
    found = CertificateNames.parse(["Mirror.Example", "10.1.2.3", "mirror.example", "::0001", "MIRROR"])
    assert found == CertificateNames(("mirror.example", "mirror"), (ip_address("10.1.2.3"), ip_address("::1")))
    assert list(found.with_loopback()) == ["mirror.example", "mirror", "localhost", "10.1.2.3", "::1", "127.0.0.1"]


@pytest.mark.parametrize(
    ("texts", "main"),
    [
        (["10.1.2.3"], "10.1.2.3"),
        (["10.1.2.3", "mirror"], "mirror"),
        (["localhost", "mirror"], "mirror"),
        ([], "localhost"),
    ],
)
def test_the_main_name_is_not_that_of_loopback(texts: list[str], main: str) -> None:
    assert CertificateNames.parse(texts).with_loopback().main == main
    assert CertificateNames().main is None


@given(st.text(max_size=80))
def test_every_text_is_a_dns_name_an_address_or_neither(text: str) -> None:
    name, address = parse_dns_name(text), parse_ip_address(text)
    assert name is None or address is None
    if name is not None:
        assert parse_dns_name(name) == name == text.lower()
        x509.DNSName(name)


@given(st.lists(DNS_NAME | IP))
def test_names_survive_a_certificate(texts: list[str]) -> None:
    found = CertificateNames.parse(texts).with_loopback()
    assert CertificateNames.parse(found) == found
    assert (
        CertificateNames(
            tuple(found.extension().get_values_for_type(x509.DNSName)),
            tuple(found.extension().get_values_for_type(x509.IPAddress)),
        )
        == found
    )


@pytest.mark.parametrize(
    ("host", "is_covered"),
    [
        ("mirror.example", True),
        ("MIRROR.example", True),
        ("a.mirror.example", False),
        ("10.1.2.3", True),
        ("10.1.2.4", False),
        ("a.wild.example", True),
        ("a.b.wild.example", False),
        ("wild.example", False),
        ("::1", False),
    ],
)
def test_a_host_is_covered_as_clients_see_it(host: str, is_covered: bool) -> None:
    names = CertificateNames(("mirror.example", "*.wild.example"), (ip_address("10.1.2.3"),))
    assert names.covers(host) is is_covered


CA = CertificateAuthority.for_servers(
    new_key(), CertificateNames.parse(["mirror.example", "10.1.2.3"]).with_loopback(), START
)


@pytest.mark.parametrize(
    ("name", "is_refused"),
    [
        ("mirror.example", False),
        ("sub.mirror.example", False),
        ("example", True),
        ("xmirror.example", True),
        ("other.example", True),
        ("10.1.2.3", False),
        ("10.1.2.4", True),
        ("2001:db8::1", True),
        ("::1", False),
    ],
)
def test_a_ca_refuses_names_beyond_its_constraints(name: str, is_refused: bool) -> None:
    names = CertificateNames.parse([name])
    assert refused_names(CA.certificate, names) == ([name] if is_refused else [])
    if is_refused:
        with pytest.raises(ConfigurationFault, match=f"permits no certificate for {name}: .*; fix: "):
            CA.issue_server(new_key().public_key(), names, START)
    else:
        assert CertificateNames.of(CA.issue_server(new_key().public_key(), names, START)) == names


@given(st.lists(DNS_NAME | IP, max_size=4), DNS_NAME | IP)
def test_a_kind_of_name_that_is_not_used_is_excluded(permitted: list[str], other: str) -> None:
    names = CertificateNames.parse(permitted)
    ca = CertificateAuthority.for_servers(KEY, names, START).certificate
    assert refused_names(ca, names) == []
    asked = CertificateNames.parse([other])
    same_kind = names.dns if asked.dns else names.ips
    assert bool(same_kind) or refused_names(ca, asked) == list(asked)


KEY = new_key()


def test_a_ca_of_another_program_without_constraints_permits_every_name() -> None:
    client_ca = CertificateAuthority.for_clients(KEY, START).certificate
    assert refused_names(client_ca, CertificateNames.parse(["other.example", "10.9.9.9"])) == []


def test_nothing_is_permitted_without_names() -> None:
    constraints = constraints_for(CertificateNames())
    assert constraints.permitted_subtrees is None
    assert [str(each.value) for each in constraints.excluded_subtrees or ()] == ["", "0.0.0.0/0", "::/0"]


@pytest.mark.parametrize("host", ["mirror.example", "10.1.2.3", "localhost", "127.0.0.1", "::1"])
def test_a_client_accepts_each_name(host: str, tmp_path: Path) -> None:
    files = made(tmp_path).server
    shake_hands(server_context(files), client_context(files.ca), host)


@pytest.mark.parametrize("host", ["other.example", "10.1.2.4", "2001:db8::1"])
def test_a_client_refuses_a_certificate_for_another_name_also_if_the_key_of_the_ca_is_stolen(
    host: str, tmp_path: Path
) -> None:
    forged = forge(made(tmp_path), host)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake_hands(server_context(forged), client_context(forged.ca), host)


def test_names_that_cannot_be_read_are_none() -> None:
    builder = (
        x509.CertificateBuilder()
        .subject_name(CA.certificate.subject)
        .issuer_name(CA.certificate.subject)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=1))
        .add_extension(x509.UnrecognizedExtension(x509.OID_SUBJECT_ALTERNATIVE_NAME, b"\x30\xff"), critical=False)
    )
    assert CertificateNames.of(builder.sign(KEY, SHA256())) == CertificateNames()
