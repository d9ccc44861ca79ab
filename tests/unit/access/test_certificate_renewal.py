"""Renewal of a server certificate."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.access.certificates.certificate_authority import CertificateAuthority
from mirror.access.certificates.certificate_folder import ServerFiles
from mirror.access.certificates.certificate_names import CertificateNames
from mirror.access.certificates.certificate_renewal import is_due, renew, renew_if_due, require_renewable
from mirror.access.certificates.pem_files import certificates_pem, locked_folder, read_certificates
from mirror.oci.errors import ConfigurationFault, StorageFault
from tests.support.local_ca import client_context, leaf, made, matches, names, now, server_context, shake_hands

DUE = timedelta(days=60)
#: Renews a certificate in a process of its own. The second argument is the number of the call of fsync that kills it.
SCRIPT = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from mirror.access.certificates.certificate_folder import CertificateFolder
from mirror.access.certificates.certificate_renewal import renew_if_due

calls, sync = int(sys.argv[2]), os.fsync
def fsync(descriptor):
    global calls
    calls -= 1
    if calls == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    sync(descriptor)
os.fsync = fsync
print("ready", flush=True)
sys.stdin.read()
new = renew_if_due(CertificateFolder(Path(sys.argv[1])).server, datetime.now(UTC))
print("renewed" if new else "found renewed")
"""


def process(folder: Path, calls: int = -1) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", SCRIPT, str(folder), str(calls)]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("days", "due"), [(-1, True), (0, False), (59, False), (61, True), (91, True)])
def test_a_certificate_is_due_in_its_last_third_and_before_it_begins(days: int, due: bool, tmp_path: Path) -> None:
    files = made(tmp_path).server
    assert is_due(leaf(files), now() + timedelta(days=days)) is due


def test_a_renewal_keeps_key_names_and_ca(tmp_path: Path) -> None:
    files = made(tmp_path, ago=DUE).server
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    new = renew_if_due(files, now())
    assert new == leaf(files)
    assert {path for path in tmp_path.iterdir() if before.get(path) != path.read_bytes()} == {files.certificate}
    assert matches(files)
    assert CertificateNames.of(new) == names("mirror.example", "10.1.2.3")
    assert renew_if_due(files, now()) is None


def test_intermediate_certificates_stay_in_the_file(tmp_path: Path) -> None:
    files = made(tmp_path).server
    intermediate = files.authority().certificate
    files.certificate.write_bytes(certificates_pem([leaf(files), intermediate]))
    new = renew(files, None, now())
    assert read_certificates(files.certificate) == [new, intermediate]


def test_other_names_need_the_permission_of_the_ca(tmp_path: Path) -> None:
    files = made(tmp_path).server
    before = files.certificate.read_bytes()
    with pytest.raises(ConfigurationFault, match=r"permits no certificate for other\.example: "):
        renew(files, names("other.example"), now())
    assert files.certificate.read_bytes() == before
    assert CertificateNames.of(renew(files, names("mirror.example"), now())) == names("mirror.example")


def test_a_certificate_of_another_ca_is_not_touched(tmp_path: Path) -> None:
    own, other = made(tmp_path / "own", ago=DUE).server, made(tmp_path / "other", ago=DUE).server
    files = ServerFiles(other.certificate, other.key, own.ca, own.ca_key)
    before = other.certificate.read_bytes()
    for refused in (lambda: renew_if_due(files, now()), lambda: require_renewable(files)):
        with pytest.raises(
            ConfigurationFault, match=r"renews only its own certificates; fix: remove server.tls.ca_key"
        ):
            refused()
    assert other.certificate.read_bytes() == before


def test_the_last_days_of_a_ca_bring_no_shorter_certificates(tmp_path: Path) -> None:
    files = made(tmp_path, ago=timedelta(days=3640)).server
    assert renew_if_due(files, now()) is not None
    ends = leaf(files).not_valid_after_utc
    assert ends == files.authority().certificate.not_valid_after_utc
    with pytest.raises(ConfigurationFault, match=r"together with its CA .*; fix: make another CA"):
        renew_if_due(files, ends - timedelta(days=1))


def test_a_clock_that_is_set_back_and_forth_renews_once_each_time(tmp_path: Path) -> None:
    files = made(tmp_path).server
    for moment in (now() + timedelta(days=1000), now()):
        assert renew_if_due(files, moment) is not None
        assert renew_if_due(files, moment) is None
    begin = files.authority().certificate.not_valid_before_utc
    with pytest.raises(ConfigurationFault, match="fix: set the clock"):
        renew_if_due(files, begin - timedelta(days=1))


def test_a_folder_that_cannot_be_written_keeps_the_former_certificate(tmp_path: Path) -> None:
    files = made(tmp_path, ago=DUE).server
    before = files.certificate.read_bytes()
    (tmp_path / ".server.crt.new").mkdir()
    with pytest.raises(StorageFault, match=r"^cannot write .*server\.crt: .*; fix: "):
        renew_if_due(files, now())
    assert files.certificate.read_bytes() == before


def test_of_several_processes_one_renews(tmp_path: Path) -> None:
    files = made(tmp_path, ago=DUE).server
    processes = [process(tmp_path) for _ in range(4)]
    try:
        # They find the certificate due, and wait for the lock.
        with locked_folder(tmp_path):
            for each in processes:
                assert each.stdout is not None
                assert each.stdout.readline() == "ready\n"
                assert each.stdin is not None
                each.stdin.close()
        told = sorted(each.stdout.read() for each in processes if each.stdout is not None)
    finally:
        for each in processes:
            each.kill()
            each.wait()
            if each.stdout is not None:
                each.stdout.close()
    assert told == ["found renewed\n"] * 3 + ["renewed\n"]
    assert matches(files)


@pytest.mark.parametrize(("calls", "is_renewed"), [(1, False), (2, True)])
def test_a_killed_renewal_leaves_a_certificate_that_matches(calls: int, is_renewed: bool, tmp_path: Path) -> None:
    files = made(tmp_path, ago=DUE).server
    with process(tmp_path, calls) as killed:
        killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert matches(files)
    assert (renew_if_due(files, now()) is None) is is_renewed
    assert matches(files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.crt", "ca.key", "server.crt", "server.key"]


def test_a_ca_file_may_hold_the_next_ca_as_well(tmp_path: Path) -> None:
    files, following = made(tmp_path / "one", ago=DUE).server, made(tmp_path / "two").server
    both = [following.authority().certificate, files.authority().certificate]
    files.ca.write_bytes(certificates_pem(both))
    new = renew(files, None, now())
    assert CertificateAuthority.of(both, files.authority().key, "").has_issued(new)
    # Both CAs have one name, and hosts trust both of them.
    for each in files, following:
        shake_hands(server_context(each), client_context(files.ca), "mirror.example")
