"""Programs of the next Debian release: the sources that apt gets, and the outcome without them."""

import shutil
from pathlib import Path

import pytest

from tests.harness import trixie
from tests.harness.command import CommandFailedError, CompletedRun
from tests.harness.trixie import PACKAGES, Source, UnpackError, machine_sources, missing, unpack

STANZAS = """\
# the distribution
Types: deb deb-src
# Suites: bookworm
URIs: http://mirror.example/debian http://other.example/debian
suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://disabled.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://inline.example/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
"""

LINES = """\
# deb http://commented.example/debian bookworm main
deb http://plain.example/debian bookworm contrib main # main
deb [arch=amd64 signed-by=/etc/keys/a.gpg,/etc/keys/b.gpg]  http://signed.example/debian bookworm main
deb http://mirror.example/debian bookworm-backports main
deb http://vendor.example/linux bookworm stable # main
deb-src http://sources.example/debian bookworm main
deb malformed
"""


def etc_apt(folder: Path, *, stanzas: str = "", lines: str = "") -> Path:
    (folder / "sources.list.d").mkdir(parents=True)
    (folder / "sources.list").write_text(lines)
    (folder / "sources.list.d/debian.sources").write_text(stanzas)
    (folder / "sources.list.d/old.sources.disabled").write_text(stanzas)
    return folder


def test_stanzas_give_the_entries_of_the_release(tmp_path: Path) -> None:
    first, second = machine_sources(etc_apt(tmp_path / "apt", stanzas=STANZAS))
    assert first == Source("http://mirror.example/debian http://other.example/debian", "/usr/share/keyrings/debian.gpg")
    assert second.uris == "http://inline.example/debian"
    assert second.signed_by.startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n")


def test_lines_give_the_entries_of_the_release(tmp_path: Path) -> None:
    assert machine_sources(etc_apt(tmp_path / "apt", lines=LINES)) == [
        Source("http://plain.example/debian"),
        Source("http://signed.example/debian", "/etc/keys/a.gpg /etc/keys/b.gpg"),
    ]


def test_the_same_entry_counts_once_and_no_configuration_gives_none(tmp_path: Path) -> None:
    assert len(machine_sources(etc_apt(tmp_path / "apt", lines=LINES + LINES))) == 2
    assert machine_sources(tmp_path / "none") == []


def test_an_entry_is_written_for_another_release() -> None:
    assert Source("http://a.example/debian", "-----BEGIN\n .\n abc").for_release("trixie") == (
        "Types: deb\nURIs: http://a.example/debian\nSuites: trixie\nComponents: main\nSigned-By: -----BEGIN\n .\n abc\n"
    )
    assert "Signed-By" not in Source("http://a.example/debian").for_release("trixie")


def test_what_is_unpacked_already_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: pytest.fail(f"looked for {program}"))
    versions = dict.fromkeys(PACKAGES, "1.0")
    (tmp_path / "versions").write_text("".join(f"{name} {version}\n" for name, version in versions.items()))
    assert unpack(tmp_path) == versions


def test_without_apt_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(UnpackError, match="apt-get is not installed: only Debian bookworm is supported"):
        unpack(tmp_path / "trixie")


def test_on_another_release_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(trixie, "machine_sources", list)
    with pytest.raises(UnpackError, match="has no entry for bookworm main"):
        unpack(tmp_path / "trixie")


def test_a_failed_download_leaves_nothing_and_shows_what_apt_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(argv: tuple[str, ...], **_: object) -> CompletedRun:
        raise CommandFailedError(CompletedRun(argv, 100, b"", b"E: Temporary failure resolving"))

    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(trixie, "machine_sources", lambda: [Source("http://mirror.example/debian")])
    monkeypatch.setattr(trixie, "run", fail)
    with pytest.raises(UnpackError, match=r"no network(.|\n)*Temporary failure resolving"):
        unpack(tmp_path / "tools/trixie")
    assert list((tmp_path / "tools").iterdir()) == []


def test_a_missing_program_is_named_with_the_remedy(tmp_path: Path) -> None:
    assert missing(tmp_path) is None
    assert missing(tmp_path / "oras") == (
        f"Debian trixie's oras is not in {trixie.FOLDER} (run: python -m tests.harness.trixie)"
    )
