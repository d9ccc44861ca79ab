"""The head of a bundle: read from a file, and refused after any change of its bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.bundle.format.bundle_head import read_head
from mirror.bundle.format.byte_source import FileSource
from mirror.bundle.format.member import REPORT
from tests.support.bundles import KEY, OTHER_KEY, build, build_bundle, small_plugin

NAME = "acme/driver:1.0"


async def test_the_head_has_names_statement_and_signatures(tmp_path: Path) -> None:
    manifest, blobs = small_plugin()
    built = build_bundle(tmp_path / "b.tar", {NAME: manifest}, blobs, keys=[KEY, OTHER_KEY], key_sets=[b"one", b"two"])
    head = await read_head(await FileSource.open(tmp_path / "b.tar"))
    assert [str(named) for named in head.names] == [NAME]
    assert head.statement == built.statement
    assert len(head.envelope.signatures) == 2
    assert head.key_sets == (b"one", b"two")
    assert head.layout.blob(manifest.digest) is not None


async def test_another_report_is_refused(tmp_path: Path) -> None:
    manifest, blobs = small_plugin()
    built = build({NAME: manifest}, blobs, report=b'{"a":1}')
    (tmp_path / "b.tar").write_bytes(built.with_content(REPORT, b'{"a":2}'))
    with pytest.raises(BundleInvalid, match="report"):
        await read_head(await FileSource.open(tmp_path / "b.tar"))


async def test_a_shorter_file_is_refused(tmp_path: Path) -> None:
    manifest, blobs = small_plugin()
    (tmp_path / "b.tar").write_bytes(build({NAME: manifest}, blobs).content[:-512])
    with pytest.raises(BundleInvalid, match="bytes"):
        await read_head(await FileSource.open(tmp_path / "b.tar"))
