"""Facts about the files of TLS."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from mirror.access.certificates.certificate_facts import CertificateFacts, client_facts, file_facts
from mirror.access.certificates.certificate_folder import CertificateFolder
from mirror.access.certificates.certificate_metrics import EXPIRES, CertificateExpiries
from mirror.access.certificates.certificate_renewal import renew
from mirror.access.certificates.client_issuing import issue_client_certificate, revoke_client_certificate
from mirror.settings.server.server_tls_settings import ServerTlsSettings
from tests.support.clocks import START
from tests.support.local_ca import leaf, made, now


def section(tmp_path: Path) -> ServerTlsSettings:
    folder = made(tmp_path)
    issue_client_certificate(folder, "host-12", timedelta(days=1), now())
    files = folder.server
    return ServerTlsSettings(
        certificate=files.certificate,
        key=files.key,
        ca=files.ca,
        ca_key=files.ca_key,
        client_ca=folder.client_ca,
        client_crl=folder.client_crl,
    )


@pytest.mark.parametrize(
    ("lifetime_days", "after_days", "state"),
    [
        (90, -1, "not yet valid"),
        (90, 0, "valid"),
        (90, 59.9, "valid"),
        (90, 60, "expires soon"),
        (90, 90, "expired"),
        (3652, 3621, "valid"),
        (3652, 3622, "expires soon"),
        (9, 5, "valid"),
        (9, 6, "expires soon"),
    ],
)
def test_a_certificate_expires_soon_30_days_before_or_in_its_last_third(
    lifetime_days: float, after_days: float, state: str
) -> None:
    facts = CertificateFacts("a", "b", (), START, START + timedelta(days=lifetime_days))
    assert facts.state(START + timedelta(days=after_days)) == state


def test_a_list_without_an_end_is_valid() -> None:
    facts = CertificateFacts("0 revoked", "b", (), START, None)
    assert facts.state(START + timedelta(days=9999)) == "valid"
    assert facts.to_json(START)["expires_at"] is None


def test_each_configured_file_is_told(tmp_path: Path) -> None:
    tls = section(tmp_path)
    found = {facts.kind: facts for facts in file_facts(tls)}
    assert set(found) == set(ServerTlsSettings.model_fields)
    assert all(facts.is_well(now()) for facts in found.values())
    assert [each.subject for each in found["client_crl"].content] == ["0 revoked"]
    assert found["certificate"].content[0].issuer == found["ca"].content[0].subject == "plugin-mirror CA mirror.example"
    assert not any(found[kind].content for kind in ("key", "ca_key"))


def test_a_file_that_cannot_be_used_has_a_fault_and_hides_no_other_one(tmp_path: Path) -> None:
    tls = section(tmp_path)
    other = made(tmp_path / "other").server
    other.key.replace(tls.key)
    tls.certificate.unlink()
    found = {facts.kind: facts.fault for facts in file_facts(tls)}
    assert found["certificate"] == f"{tls.certificate} cannot be read: No such file or directory; fix: correct the path"
    assert [kind for kind, fault in found.items() if fault] == ["certificate"]
    tls.certificate.write_bytes(other.ca.read_bytes())
    faults = {facts.kind: facts.fault for facts in file_facts(tls) if facts.fault}
    assert faults == {"key": f"{tls.key} is not the key of {tls.certificate}; fix: name the files of one pair"}


def test_certificates_of_clients_are_told_until_they_are_revoked(tmp_path: Path) -> None:
    section(tmp_path)
    folder = CertificateFolder(tmp_path)
    issue_client_certificate(folder, "host-13", timedelta(days=90), now())
    assert [(facts.path.stem, facts.is_well(now())) for facts in client_facts(folder)] == [
        ("host-12", True),
        ("host-13", True),
    ]
    assert not client_facts(folder)[0].is_well(now() + timedelta(days=1))
    revoke_client_certificate(folder, folder.client("host-12")[0], now())
    folder.client("host-13")[0].write_bytes(b"x")
    (facts,) = client_facts(folder)
    assert facts.fault is not None
    folder.client_crl.unlink()
    assert [facts.path.stem for facts in client_facts(folder)] == ["host-12", "host-13"]


def test_the_metric_has_the_end_of_each_file_and_follows_it(tmp_path: Path) -> None:
    tls = section(tmp_path)
    expiries = CertificateExpiries(tls)
    family, series = expiries.read()
    assert family == EXPIRES
    assert {label for (label,), _ in series} == {"certificate", "ca", "client_ca", "client_crl"}
    renewed = renew(CertificateFolder(tmp_path).server, None, now() + timedelta(days=100))
    ends = {label: value for (label,), (value,) in expiries.read()[1]}
    assert ends["certificate"] == renewed.not_valid_after_utc.timestamp()


def test_the_metric_keeps_the_last_content_that_could_be_used(tmp_path: Path) -> None:
    files = made(tmp_path).server
    expiries = CertificateExpiries(ServerTlsSettings(certificate=files.certificate, key=files.key))
    ends = leaf(files).not_valid_after_utc.timestamp()
    assert expiries.read()[1] == [(("certificate",), [ends])]
    files.certificate.write_bytes(b"half a file")
    assert expiries.read()[1] == [(("certificate",), [ends])]
