"""Files in PEM form: what is read, and how a file is replaced."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from mirror.access.certificates.certificate_authority import CertificateAuthority, new_key
from mirror.access.certificates.pem_files import (
    certificates_pem,
    key_pem,
    locked_folder,
    make_folders,
    read_certificates,
    read_private_key,
    read_revocation_lists,
    revocation_list_pem,
    write_file,
)
from mirror.oci.errors import ConfigurationFault, StorageFault
from mirror.runtime.files import private_files
from tests.support.clocks import START
from tests.support.local_ca import names

KEY = new_key()
CA = CertificateAuthority.for_servers(KEY, names("mirror.example"), START)
OTHER = CertificateAuthority.for_clients(KEY, START)
READERS = (read_certificates, read_private_key, read_revocation_lists)


def file(folder: Path, content: bytes) -> Path:
    path = folder / "file.pem"
    path.write_bytes(content)
    return path


def test_a_file_may_hold_several_certificates_and_lists(tmp_path: Path) -> None:
    both = [CA.certificate, OTHER.certificate]
    assert read_certificates(file(tmp_path, b"a comment\n" + certificates_pem(both))) == both
    lists = [OTHER.revocation_list([], number, START) for number in (1, 2)]
    assert read_revocation_lists(file(tmp_path, b"\n".join(map(revocation_list_pem, lists)))) == lists


def test_a_key_is_found_beside_certificates(tmp_path: Path) -> None:
    found = read_private_key(file(tmp_path, key_pem(KEY)))
    assert found.public_key() == KEY.public_key()


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
        CA.certificate.public_bytes(Encoding.DER),
        b"x" * (16 * 1024 * 1024 + 1),
    ],
    ids=["empty", "binary", "certificate", "key", "list", "DER", "large"],
)
def test_a_file_of_another_kind_is_refused_in_one_line(
    read: Callable[[Path], object], content: bytes, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationFault) as refused:
        read(file(tmp_path, content))
    assert str(refused.value).startswith((str(tmp_path), f"the key {tmp_path}"))
    assert "\n" not in str(refused.value)


@given(st.binary(max_size=200), st.integers(0, 700))
def test_a_damaged_certificate_is_refused_or_read(damage: bytes, place: int) -> None:
    content = certificates_pem([CA.certificate])
    with NamedTemporaryFile() as written:
        path = Path(written.name)
        path.write_bytes(content[:place] + damage + content[place + len(damage) :])
        try:
            found = read_certificates(path)
        except ConfigurationFault as error:
            assert "\n" not in str(error)
        else:
            assert len(found) == 1


def test_keys_that_cannot_be_used_are_told_apart(tmp_path: Path) -> None:
    encrypted = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    with pytest.raises(ConfigurationFault, match=r"is encrypted; fix: "):
        read_private_key(file(tmp_path, encrypted))
    exchanging = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ConfigurationFault, match=r"cannot sign; fix: "):
        read_private_key(file(tmp_path, exchanging))


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationFault, match=r"absent\.pem cannot be read: No such file or directory; fix: correct the path$"
    ):
        read_certificates(tmp_path / "absent.pem")


def test_a_new_file_is_for_its_owner_alone_and_a_replaced_one_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.crt"
    write_file(path, b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    write_file(path, b"two")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"two", 0o644)


def test_a_link_is_replaced_and_its_target_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "another file", tmp_path / "a.crt"
    target.write_bytes(b"precious")
    link.symlink_to(target)
    write_file(link, b"two")
    assert not link.is_symlink()
    assert (link.read_bytes(), stat.S_IMODE(link.stat().st_mode)) == (b"two", 0o600)
    assert target.read_bytes() == b"precious"


def test_what_a_crash_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".a.crt.new").write_bytes(b"half")
    write_file(tmp_path / "a.crt", b"one")
    assert [path.name for path in tmp_path.iterdir()] == ["a.crt"]


def test_a_folder_that_cannot_be_written_keeps_the_former_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.crt"
    path.write_bytes(b"one")

    def refuse(_file: Path, _flags: int) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(private_files, "open_file", refuse)
    with pytest.raises(
        StorageFault, match=r"^cannot write .*a\.crt: Read-only file system; fix: mount the disk of .* for writing"
    ):
        write_file(path, b"two")
    assert path.read_bytes() == b"one"


def test_missing_folders_are_created_for_the_owner_alone(tmp_path: Path) -> None:
    make_folders(tmp_path / "data/tls")
    assert [stat.S_IMODE((tmp_path / each).stat().st_mode) for each in ("data", "data/tls")] == [0o700, 0o700]
    (tmp_path / "file").touch()
    with pytest.raises(StorageFault, match=r"^cannot create .*file/tls: Not a directory; fix: "):
        make_folders(tmp_path / "file/tls")


def test_the_lock_of_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageFault, match=r"^cannot open .*absent: No such file"), locked_folder(tmp_path / "absent"):
        pytest.fail("the folder does not exist")
