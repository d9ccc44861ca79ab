"""``bundle import`` as a user sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mirror.cli.command_line import run
from tests.support.bundles import small_plugin
from tests.support.importing_site import Site


def test_what_a_user_sees(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    site = Site(tmp_path)
    plugins = {f"acme/driver{number}:1.0": small_plugin(Description=str(number)) for number in (1, 2)}
    contents = [blob for _, blobs in plugins.values() for blob in blobs]
    path, _ = site.bundle({name: manifest for name, (manifest, _) in plugins.items()}, contents)

    def told(*options: str, code: int = 0) -> list[str]:
        """Import, and return the lines of the output, or of the error."""
        assert run(["bundle", "import", str(path), "--data", str(site.data), *options]) == code
        output = capsys.readouterr()
        return (output.err if code else output.out).splitlines()

    (refusal,) = told(code=1)
    assert "no key is trusted here" in refusal
    assert "--key F.pub" in refusal

    key = ["--key", str(site.key)]
    tried = told(*key, "--dry-run")
    assert tried[0] == "acme/driver1:1.0 copied"
    assert tried[-1].startswith("dry run: bundle 1 of stream test: 2 copied, 0 unchanged")

    mapped = [*key, "--map", "acme/*=here/*"]
    assert told(*mapped)[0] == "here/driver1:1.0 copied (in the bundle acme/driver1:1.0)"
    shown = json.loads("\n".join(told(*mapped, "--json")))
    assert (shown["stream"], shown["serial"], shown["copied"], shown["unchanged"]) == ("test", 1, 0, 2)
    assert shown["names"][0]["in_bundle"] == "acme/driver1:1.0"

    (wrong,) = told(*key, "--map", "acme", code=2)
    assert "--map 'acme' is not FROM=TO" in wrong
