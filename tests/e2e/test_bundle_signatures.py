"""Signatures of bundles, as other people's programs check them."""

from pathlib import Path

import pytest

from tests.harness import cosign
from tests.harness.command import run
from tests.harness.mirror import PROGRAM
from tests.harness.requirement import require
from tests.support.bundles import build_bundle, small_plugin

pytestmark = pytest.mark.e2e


def test_cosign_verifies_the_statement_about_the_index(tmp_path: Path) -> None:
    require(cosign.missing())
    manifest, blobs = small_plugin()
    build_bundle(tmp_path / "site.tar", {"a/b:1": manifest}, blobs, keys=[])
    for name in ("site", "other"):
        run([PROGRAM, "bundle", "keygen", name], folder=tmp_path)
    run([PROGRAM, "bundle", "sign", "site.tar", "--key", "site"], folder=tmp_path)
    run(["tar", "-xf", "site.tar"], folder=tmp_path)
    index, statement = tmp_path / "index.json", tmp_path / "plugin-mirror/statement.json"
    kind = "urn:docker-plugin-mirror:bundle:1"
    cosign.verify_blob_attestation(index, statement, kind, tmp_path / "site.pub")
    wrong_key = cosign.verify_blob_attestation(index, statement, kind, tmp_path / "other.pub", check=False)
    assert "accepted signatures do not match threshold" in wrong_key.stderr
    index.write_bytes(index.read_bytes() + b" ")
    touched = cosign.verify_blob_attestation(index, statement, kind, tmp_path / "site.pub", check=False)
    assert "no matching subject digest found" in touched.stderr
