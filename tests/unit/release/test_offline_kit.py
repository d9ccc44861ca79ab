"""The offline kit without the programs that it needs."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest

from deploy.release import offline_kit
from deploy.release.checkout import ReleaseError, release_time
from deploy.release.offline_kit import Content, build_kit
from tests.support.release_build import build_elsewhere


@pytest.fixture
def no_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("no_programs")
def test_a_kit_without_an_engine_is_no_kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1796059223")
    with pytest.raises(ReleaseError, match=r"neither docker nor podman can build the image here; fix: "):
        build_kit(Content(), tmp_path / "dist", release_time())
    assert not (tmp_path / "dist").exists()


@pytest.mark.usefixtures("no_programs")
def test_the_way_without_an_image_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1796059223")
    monkeypatch.setattr("sys.argv", ["offline_kit"])
    with pytest.raises(ReleaseError, match=r"; or leave out the image: make offline-kit KIT=--without-image$"):
        offline_kit.main()


def test_a_kit_of_documents_and_the_release(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = build_kit(Content(targets=(), releases=(), base=None, pages=False), tmp_path, release_time())
    assert made.name == f"{offline_kit.NAME}.tar"
    assert "no image (--without-image)" in capfd.readouterr().err.splitlines()[-1]
    again = tmp_path / "again"
    build_elsewhere(
        "from deploy.release.offline_kit import Content, build_kit\n"
        f"build_kit(Content(targets=(), releases=(), base=None, pages=False), Path({str(again)!r}), release_time())"
    )
    assert (again / made.name).read_bytes() == made.read_bytes()


def test_links_of_the_kit_lead_to_its_files(tmp_path: Path) -> None:
    made = build_kit(Content(targets=(), releases=(), base=None, pages=False), tmp_path, release_time())
    with tarfile.open(made) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (kit,) = (tmp_path / "unpacked").iterdir()
    pages = {page: re.findall(r"\]\(([\w./-]+\.md)", page.read_text()) for page in kit.rglob("*.md")}
    assert {
        (page.name, link) for page, links in pages.items() for link in links if not (page.parent / link).exists()
    } == set()
    assert "docs/guides/air-gap.md" in pages[kit / "INSTALL.md"]
