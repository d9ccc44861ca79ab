"""Making the files of a CA and a server, also after an interruption."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirror.access.certificates import certificate_folder
from mirror.access.certificates.certificate_folder import make_server_files
from mirror.access.certificates.certificate_names import CertificateNames
from mirror.access.certificates.pem_files import write_file
from mirror.oci.errors import ConfigurationFault
from tests.support.clocks import START
from tests.support.local_ca import leaf, made, matches, names, now


class Killed(BaseException):
    """The process ends here."""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_files_belong_together(tmp_path: Path) -> None:
    folder = made(tmp_path / "data/tls")
    assert matches(folder.server)
    assert CertificateNames.of(leaf(folder.server)) == names("mirror.example", "10.1.2.3")
    assert sorted(contents(folder.root)) == ["ca.crt", "ca.key", "server.crt", "server.key"]


@pytest.mark.parametrize("written", range(4))
def test_an_interrupted_run_is_repeated(written: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = written

    def write(path: Path, content: bytes) -> None:
        nonlocal left
        if not left:
            path.with_name(f".{path.name}.new").write_bytes(content[:20])
            raise Killed
        left -= 1
        write_file(path, content)

    monkeypatch.setattr(certificate_folder, "write_file", write)
    with pytest.raises(Killed):
        made(tmp_path)
    before = {name: content for name, content in contents(tmp_path).items() if not name.startswith(".")}
    assert len(before) == written
    monkeypatch.setattr(certificate_folder, "write_file", write_file)
    folder = made(tmp_path)
    assert matches(folder.server)
    assert before.items() <= contents(tmp_path).items()
    assert len(contents(tmp_path)) == 4


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    folder = made(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ConfigurationFault, match=r"server\.crt exists, and is not overwritten; fix: "):
        make_server_files(folder, names("other.example"), START)
    assert contents(tmp_path) == before


def test_a_ca_that_exists_is_used_within_its_names(tmp_path: Path) -> None:
    folder = made(tmp_path)
    ca = folder.server.ca.read_bytes()
    folder.server.certificate.unlink()
    with pytest.raises(ConfigurationFault, match=r"permits no certificate for other\.example: "):
        make_server_files(folder, names("other.example"), now())
    make_server_files(folder, names("mirror.example"), now())
    assert folder.server.ca.read_bytes() == ca
    assert matches(folder.server)


def test_a_lost_key_of_the_ca_is_told(tmp_path: Path) -> None:
    folder = made(tmp_path)
    folder.server.certificate.unlink()
    folder.server.ca_key.unlink()
    with pytest.raises(ConfigurationFault, match=r"ca\.key cannot be read: No such file"):
        made(tmp_path)


def test_files_of_two_cas_do_not_belong_together(tmp_path: Path) -> None:
    folder, other = made(tmp_path / "one"), made(tmp_path / "two")
    folder.server.certificate.unlink()
    other.server.ca_key.replace(folder.server.ca_key)
    with pytest.raises(ConfigurationFault, match=r"ca\.crt and .*ca\.key do not belong together; fix: "):
        made(folder.root)
