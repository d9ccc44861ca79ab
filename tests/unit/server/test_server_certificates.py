"""The TLS context of the server, made of files that may be wrong."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from structlog.testing import capture_logs

from mirror.oci.errors import ConfigurationFault
from tests.support.certificates import CertificateFiles, revoked_list
from tests.support.clocks import ShiftedClock


def test_a_context_offers_only_tls_1_2_and_later_with_http_1_1(tmp_path: Path) -> None:
    context = CertificateFiles.made(tmp_path).tls().context(datetime.now(UTC))

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE  # no certificate is asked for
    assert context.options & ssl.OP_NO_RENEGOTIATION
    names = {cipher["name"] for cipher in context.get_ciphers()}
    assert names
    assert all("GCM" in name or "CHACHA20" in name for name in names)
    assert all(name.startswith(("TLS_", "ECDHE-")) for name in names)


def test_client_certificates_are_optional_and_sessions_are_not_resumed(tmp_path: Path) -> None:
    files, clients = CertificateFiles.made(tmp_path), trustme.CA()
    clients.cert_pem.write_to_path(tmp_path / "clients.crt")

    context = files.tls(client_ca=tmp_path / "clients.crt").context(datetime.now(UTC))

    assert context.verify_mode is ssl.CERT_OPTIONAL
    assert context.num_tickets == 0
    assert context.options & ssl.OP_NO_TICKET


def _no_certificate(files: CertificateFiles) -> None:
    files.certificate.unlink()


def _empty_certificate(files: CertificateFiles) -> None:
    files.certificate.write_bytes(b"")


def _key_as_certificate(files: CertificateFiles) -> None:
    files.certificate.write_bytes(files.key.read_bytes())


def _no_key(files: CertificateFiles) -> None:
    files.key.unlink()


def _folder_as_key(files: CertificateFiles) -> None:
    files.key.unlink()
    files.key.mkdir()


def _certificate_as_key(files: CertificateFiles) -> None:
    files.key.write_bytes(files.certificate.read_bytes())


def _key_of_another(files: CertificateFiles) -> None:
    CertificateFiles.made(files.key.parent, name="other").key.rename(files.key)


def _passphrase(files: CertificateFiles) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    form = serialization.PrivateFormat.PKCS8
    files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))


PAIR = "server.tls.key {key} cannot be used with the certificate {certificate}: "


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_no_certificate, "server.tls.certificate {certificate} cannot be read: No such file or directory"),
        (_empty_certificate, "server.tls.certificate {certificate} has no certificate in PEM format"),
        (_key_as_certificate, "server.tls.certificate {certificate} has no certificate in PEM format"),
        (_no_key, "server.tls.key {key} cannot be read: No such file or directory"),
        (_folder_as_key, "server.tls.key {key} cannot be read: Is a directory"),
        (
            _certificate_as_key,
            "server.tls.key {key} has no private key in PEM format",
        ),
        (_key_of_another, PAIR + "the key belongs to"),
        (
            _passphrase,
            "server.tls.key {key} is encrypted",
        ),
    ],
)
def test_a_wrong_pair_is_one_clear_line(tmp_path: Path, spoil: Callable[[CertificateFiles], None], words: str) -> None:
    files = CertificateFiles.made(tmp_path)
    spoil(files)

    with pytest.raises(ConfigurationFault) as fault:
        files.tls().context(datetime.now(UTC))

    assert str(fault.value).startswith(words.format(certificate=files.certificate, key=files.key))
    assert "\n" not in str(fault.value)
    assert "fix: " in str(fault.value)


def test_a_certificate_must_be_valid_now(tmp_path: Path) -> None:
    files = CertificateFiles.made(
        tmp_path, not_before=datetime(2026, 1, 1, tzinfo=UTC), not_after=datetime(2026, 3, 1, 12, tzinfo=UTC)
    )
    path = files.certificate

    with pytest.raises(ConfigurationFault) as early:
        files.tls().context(datetime(2025, 12, 31, tzinfo=UTC))
    with pytest.raises(ConfigurationFault) as late:
        files.tls().context(datetime(2026, 3, 1, 12, tzinfo=UTC))

    assert str(early.value) == (
        f"server.tls.certificate {path} is valid from 2026-01-01 00:00 UTC, and it is 2025-12-31 00:00 UTC now; "
        "fix: set the clock of this machine"
    )
    assert str(late.value) == (
        f"server.tls.certificate {path} expired on 2026-03-01 12:00 UTC, and it is 2026-03-01 12:00 UTC now; "
        "fix: renew it, or set the clock of this machine"
    )
    assert files.tls().context(datetime(2026, 2, 1, tzinfo=UTC))


HOURS = timedelta(hours=1)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (lambda ca: b"", "has no list of revoked certificates in PEM format; fix: "),
        (lambda ca: ca.cert_pem.bytes(), "has no list of revoked certificates in PEM format; fix: "),
        (lambda ca: revoked_list(trustme.CA()), "has no list of revoked certificates that "),
        (lambda ca: revoked_list(ca).replace(b"\nM", b"\nN", 1), "has a damaged list of revoked certificates; fix: "),
        (lambda ca: revoked_list(ca)[:200], "has a damaged list of revoked certificates; fix: "),
    ],
)
def test_a_list_that_would_refuse_every_client_is_refused_itself(
    tmp_path: Path, written: Callable[[trustme.CA], bytes], words: str
) -> None:
    files, clients = CertificateFiles.made(tmp_path), trustme.CA()
    clients.cert_pem.write_to_path(tmp_path / "clients.crt")
    (tmp_path / "clients.crl").write_bytes(written(clients))

    with pytest.raises(ConfigurationFault) as fault:
        files.tls(client_ca=tmp_path / "clients.crt", client_crl=tmp_path / "clients.crl").context(datetime.now(UTC))

    assert str(fault.value).startswith(f"server.tls.client_crl {tmp_path / 'clients.crl'} {words}")


@pytest.mark.parametrize(("since", "until"), [(-3 * HOURS, -HOURS), (2 * HOURS, 3 * HOURS)])
def test_a_list_that_is_not_valid_now_is_a_warning_and_stops_nobody_else(
    tmp_path: Path, since: timedelta, until: timedelta
) -> None:
    files, clients = CertificateFiles.made(tmp_path), trustme.CA()
    clients.cert_pem.write_to_path(tmp_path / "clients.crt")
    (tmp_path / "clients.crl").write_bytes(revoked_list(clients, since=since, until=until))
    tls = files.tls(client_ca=tmp_path / "clients.crt", client_crl=tmp_path / "clients.crl")

    with capture_logs() as lines:
        assert tls.context(datetime.now(UTC)).verify_flags & ssl.VERIFY_CRL_CHECK_LEAF

    (line,) = lines
    assert line["event"] == "list of revoked certificates is not valid, so the clients of its CA are refused"
    assert line["file"] == str(tmp_path / "clients.crl")


def test_each_of_several_authorities_needs_its_list(tmp_path: Path) -> None:
    files, clients, others = CertificateFiles.made(tmp_path), trustme.CA(), trustme.CA(organization_name="others")
    (tmp_path / "clients.crt").write_bytes(clients.cert_pem.bytes() + others.cert_pem.bytes())
    tls = files.tls(client_ca=tmp_path / "clients.crt", client_crl=tmp_path / "clients.crl")

    (tmp_path / "clients.crl").write_bytes(revoked_list(clients))
    with pytest.raises(ConfigurationFault, match=r"no list of revoked certificates that .*others"):
        tls.context(datetime.now(UTC))
    (tmp_path / "clients.crl").write_bytes(revoked_list(clients) + revoked_list(others))
    assert tls.context(datetime.now(UTC))


def test_a_client_ca_without_a_certificate_is_refused(tmp_path: Path) -> None:
    files = CertificateFiles.made(tmp_path)

    with pytest.raises(ConfigurationFault, match=r"server\.tls\.client_ca .* has no certificate in PEM format"):
        files.tls(client_ca=files.key).context(datetime.now(UTC))


async def test_new_files_are_used_and_wrong_ones_are_one_line(tmp_path: Path) -> None:
    clock, files = ShiftedClock(), CertificateFiles.made(tmp_path)
    contexts = files.tls().reloading(clock)
    first = await contexts.current()

    async def after_two_seconds() -> ssl.SSLContext:
        clock.advance(seconds=2)
        await contexts.current()
        return await contexts.current()

    with capture_logs() as lines:
        assert await after_two_seconds() is first
        CertificateFiles.made(tmp_path, name="next").certificate.rename(files.certificate)
        assert await after_two_seconds() is first  # its key has not come yet
        assert await after_two_seconds() is first
        (tmp_path / "next.key").rename(files.key)
        second = await after_two_seconds()
        assert second is not first
        files.key.unlink()
        assert await after_two_seconds() is second
    assert [line["event"] for line in lines] == [
        "file not reloaded, last value stays in use",
        "file reloaded",
        "file not reloaded, last value stays in use",
    ]
    assert "the key belongs to another certificate" in lines[0]["error"]
    assert "cannot be read" in lines[2]["error"]
