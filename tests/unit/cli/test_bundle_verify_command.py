"""``bundle verify``, and commands that read one plugin out of a bundle."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mirror.authoring.files import saved_files
from mirror.bundle.trust.signing_keys import SigningKey
from mirror.cli.command_line import run
from mirror.oci.timestamps import machine_time
from tests.support.bundles import CREATED, KEY, OTHER_KEY, build_bundle, public_pem, small_plugin

INSIDE = "site.tar:acme/driver:1.0"
UNCHECKED = "note: the signature of site.tar was not checked"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a signed bundle, an unsigned one, and the public keys of its signer and of somebody else."""
    monkeypatch.chdir(tmp_path)
    manifest, blobs = small_plugin()
    build_bundle(tmp_path / "site.tar", {"acme/driver:1.0": manifest}, blobs, serial=7)
    build_bundle(tmp_path / "plain.tar", {"acme/driver:1.0": manifest}, blobs, keys=[])
    (tmp_path / "site.pub").write_bytes(public_pem(KEY))
    (tmp_path / "other.pub").write_bytes(public_pem(OTHER_KEY))
    return tmp_path


def touch(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1025] ^= 1  # the last byte before the end: padding of the last layer
    path.write_bytes(content)


def test_a_verified_bundle(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bundle", "verify", "site.tar", "--key", "site.pub"]) == 0
    told = capsys.readouterr().out
    assert "bundle 7 of stream test" in told
    assert "every byte is as the statement says" in told
    assert "signed by " in told


def test_a_verified_bundle_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bundle", "verify", "site.tar", "--key", "site.pub", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["stream"], told["serial"], told["created"]) == ("test", 7, machine_time(CREATED))
    assert told["names"] == ["acme/driver:1.0"]
    assert told["size_bytes"] == Path("site.tar").stat().st_size
    assert len(told["signers"]) == 1


@pytest.mark.parametrize(
    ("most", "told"),
    [
        (None, "warning: the bundle is "),
        ("90d", "warning: an import refuses this bundle: the bundle is "),
    ],
)
def test_an_old_bundle_is_right_and_its_age_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, most: str | None, told: str
) -> None:
    if most is not None:
        monkeypatch.setenv("PLUGIN_MIRROR_BUNDLES__MAX_AGE", most)
    manifest, blobs = small_plugin()
    build_bundle(Path("old.tar"), {"acme/driver:1.0": manifest}, blobs, created=datetime(2020, 1, 1, tzinfo=UTC))
    assert run(["bundle", "verify", "old.tar", "--key", "site.pub"]) == 0
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["site.tar"], 1, "no key is trusted here"),
        (["site.tar", "--key", "other.pub"], 1, "no trusted key has signed the bundle"),
        (["site.tar", "--unsigned"], 0, ""),
        (["plain.tar"], 1, "the bundle is not signed"),
        (["plain.tar", "--key", "site.pub"], 1, "the bundle is not signed"),
        (["plain.tar", "--unsigned"], 0, ""),
        (["absent.tar", "--key", "site.pub"], 2, "absent.tar"),
        (["site.tar", "--key", "absent.pub"], 2, "absent.pub"),
        (["site.pub", "--key", "site.pub"], 1, "is not a bundle"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_the_answer_of_verify(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, told: str) -> None:
    assert run(["bundle", "verify", *arguments]) == code
    assert told in capsys.readouterr().err


def test_a_touched_bundle_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    touch(Path("site.tar"))
    assert run(["bundle", "verify", "site.tar", "--key", "site.pub"]) == 1
    assert "is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["unpack", INSIDE, "out"], ["inspect", INSIDE], ["lint", INSIDE], ["diff", INSIDE, INSIDE]],
    ids=lambda arguments: arguments[0],
)
def test_a_plugin_is_read_out_of_a_bundle(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    # The tar is not walked from its beginning to its end: a bundle may have 500 GB.
    monkeypatch.setattr(saved_files, "SavedTar", None)
    assert run([*arguments, "--key", "other.pub"]) == 1
    assert "no trusted key has signed the bundle" in capsys.readouterr().err
    assert not Path("out").exists()
    assert run([*arguments, "--key", "site.pub"]) == 0
    assert "note" not in capsys.readouterr().err
    shutil.rmtree("out", ignore_errors=True)
    assert run(arguments) == 0
    assert UNCHECKED in capsys.readouterr().err


def test_a_plugin_is_read_out_of_parts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bundle", "split", "site.tar", "--size", "5000"]) == 0
    Path("site.tar").unlink()
    for arguments in (["lint", INSIDE], ["bundle", "verify", "site.tar"], ["bundle", "verify", "site.tar.parts.json"]):
        assert run([*arguments, "--key", "site.pub"]) == 0
    Path("site.tar.part-002").unlink()
    assert run(["bundle", "verify", "site.tar", "--key", "site.pub"]) == 1
    assert "part 2 of " in capsys.readouterr().err


def test_an_unsigned_bundle_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lint", "plain.tar:acme/driver:1.0"]) == 0
    assert "note: plain.tar is not signed" in capsys.readouterr().err


def test_an_unknown_name_lists_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lint", "site.tar:acme/driver:2.0"]) == 1
    assert "acme/driver has no tag 2.0; fix: name one of its tags: 1.0" in capsys.readouterr().err


def test_a_damaged_layer_is_not_unpacked(capsys: pytest.CaptureFixture[str]) -> None:
    touch(Path("site.tar"))
    assert run(["unpack", INSIDE, "out", "--key", "site.pub"]) == 1
    assert "is damaged" in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_key_needs_a_bundle(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert run(["lint", "acme/driver:1.0", "--key", "site.pub"]) == 2
    assert "--key is for plugins in a bundle" in capsys.readouterr().err
    # Without its statement, a bundle is an image layout that nobody has signed.
    (folder / "other.tar").write_bytes(b"no bundle")
    assert run(["lint", "other.tar:acme/driver:1.0", "--key", "site.pub"]) == 1
    assert "nobody has signed it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["bundle", "verify", "pipe.tar"],
        ["bundle", "show", "pipe.tar"],
        ["bundle", "sign", "pipe.tar", "--key", "site"],
        ["lint", "pipe.tar:acme/driver:1.0"],
        ["bundle", "verify", "other.tar.part-001"],
    ],
)
def test_a_pipe_on_a_drive_is_not_waited_for(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("pipe.tar")
    os.mkfifo("other.tar.parts.json")
    Path("site").write_bytes(SigningKey(KEY).to_pem())
    assert run(command) == 2
    assert "is a folder, pipe or device" in capsys.readouterr().err
