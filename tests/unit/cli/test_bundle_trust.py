"""``bundle keygen``, ``keyset``, ``sign`` and ``trust``."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from pathlib import Path
from typing import Any

import pytest

from mirror.app.bundles.bundle_trusting import trusted_keys
from mirror.bundle.format.envelope import Signature
from mirror.bundle.format.member import STATEMENT
from mirror.cli.command_line import run
from mirror.oci.errors import StorageFault
from mirror.settings import load
from tests.support.bundles import build_bundle, small_plugin


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Create the pairs of keys a and b in the current folder, and return their fingerprints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return {name: as_json(capsys, "keygen", name)["key_id"] for name in ("a", "b")}


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert run(["bundle", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_keygen_overwrites_nothing(keys: dict[str, str], capsys: pytest.CaptureFixture[str]):
    before = Path("a").read_bytes()
    assert run(["bundle", "keygen", "a"]) == 2
    assert "a exists" in capsys.readouterr().err
    assert Path("a").read_bytes() == before
    assert run(["bundle", "keygen", "c"]) == 0
    assert "fingerprint" in capsys.readouterr().out


def test_a_key_is_trusted_listed_and_removed(keys: dict[str, str], capsys: pytest.CaptureFixture[str]):
    assert as_json(capsys, "trust", "--list") == []
    assert not Path("data").exists()
    first = as_json(capsys, "trust", "a.pub")
    assert (first["step"], first["fingerprint"], first["keys"]) == ("first", keys["a"], [keys["a"]])
    assert as_json(capsys, "trust", "a.pub")["step"] == "known"
    (listed,) = as_json(capsys, "trust", "--list")
    assert (listed["root"], listed["version"], listed["threshold"], listed["streams"]) == (first["root"], 1, 1, [])
    assert run(["bundle", "trust", "--list"]) == 0
    assert keys["a"] in capsys.readouterr().out
    assert run(["bundle", "trust", "--remove", keys["b"]]) == 1
    assert run(["bundle", "trust", "--remove", keys["a"][:6]]) == 2
    assert run(["bundle", "trust", "--remove", keys["a"][:8].upper()]) == 0
    assert as_json(capsys, "trust", "--list") == []


def test_a_fingerprint_that_differs_is_refused(keys: dict[str, str], capsys: pytest.CaptureFixture[str]):
    assert run(["bundle", "trust", "a.pub", "--fingerprint", keys["b"]]) == 1
    assert f"another fingerprint: {keys['a']}" in capsys.readouterr().err
    assert as_json(capsys, "trust", "--list") == []
    assert run(["bundle", "trust", "a.pub", "--fingerprint", f"SHA256:{keys['a'].upper()}"]) == 0


@pytest.mark.parametrize(("answer", "code", "trusted"), [("y", 0, 1), ("n", 1, 0), ("", 1, 0)])
def test_a_person_is_asked_before_the_first_trust(
    keys: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
    trusted: int,
):
    person, terminal = pty.openpty()
    with os.fdopen(person, "wb", buffering=0) as keyboard, os.fdopen(terminal) as screen:
        keyboard.write(f"{answer}\n".encode())
        monkeypatch.setattr(sys, "stdin", screen)
        assert run(["bundle", "trust", "a.pub"]) == code
    told = capsys.readouterr().err
    assert (keys["a"] in told, "[y/N]" in told) == (True, True)
    assert len(as_json(capsys, "trust", "--list")) == trusted


def test_keys_are_rotated(keys: dict[str, str], capsys: pytest.CaptureFixture[str]):
    assert run(["bundle", "trust", "a.pub"]) == 0
    made = as_json(
        capsys, "keyset", "-o", "2.json", "a.pub", "b.pub", "-t", "2", "--after", "a.pub", "--key", "a",
        "--reset", "depot=7",
    )  # fmt: skip
    assert (made["version"], made["threshold"], len(made["missing_signatures"])) == (2, 2, 1)
    assert run(["bundle", "trust", "2.json"]) == 1
    assert "has 1 of the 2 signatures" in capsys.readouterr().err
    assert as_json(capsys, "sign", "2.json", "--key", "b")["key_id"] == keys["b"]
    assert run(["bundle", "trust", "2.json"]) == 0
    output = capsys.readouterr()
    assert "follows the trusted key set" in output.out
    assert "stream depot goes on after bundle 7" in output.err
    (listed,) = as_json(capsys, "trust", "--list")
    assert (listed["version"], listed["fingerprint"]) == (2, made["digest"].removeprefix("sha256:"))
    # The former key alone is not trusted again.
    assert as_json(capsys, "trust", "a.pub", code=1)["step"] == "replaced"


@pytest.mark.parametrize("reset", ["depot=-1", "depot=x", "depot=9007199254740992", "depot"])
def test_a_reset_names_a_stream_and_a_serial(reset: str, capsys: pytest.CaptureFixture[str]):
    assert run(["bundle", "keyset", "-o", "2.json", "a.pub", "--after", "a.pub", "--reset", reset]) == 2
    assert not Path("2.json").exists()


def test_a_bundle_is_signed(keys: dict[str, str], capsys: pytest.CaptureFixture[str]):
    manifest, blobs = small_plugin()
    build_bundle(Path("site.tar"), {"a/b:1": manifest}, blobs, keys=[])
    signed = as_json(capsys, "sign", "site.tar", "--key", "a")
    assert (signed["stream"], signed["serial"], signed["key_id"]) == ("test", 1, keys["a"])
    assert run(["bundle", "sign", "site.tar", "--key", "b.pub"]) == 2
    assert "fix: use the private key, b" in capsys.readouterr().err


def test_who_else_has_signed_is_not_claimed(keys: dict[str, str], capsys: pytest.CaptureFixture[str]):
    manifest, blobs = small_plugin()
    built = build_bundle(Path("site.tar"), {"a/b:1": manifest}, blobs, keys=[])
    forged = built.envelope.with_signature(Signature(f"{keys['b']}\x1b[31m", bytes(64)))
    size_bytes = next(each.size_bytes for each in (p.member for p in built.layout.members) if each.path == STATEMENT)
    Path("site.tar").write_bytes(built.with_content(STATEMENT, forged.to_bytes(size_bytes)))
    capsys.readouterr()
    assert run(["bundle", "sign", "site.tar", "--key", "a"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"  signed by {keys['a']}" in lines
    (other,) = (line for line in lines if keys["b"] in line)
    assert "was not checked" in other
    assert other.isprintable()


@pytest.mark.parametrize("arguments", [[], ["a.pub", "--list"], ["--list", "--remove", "0" * 64]])
def test_trust_does_one_thing(arguments: list[str]):
    assert run(["bundle", "trust", *arguments]) == 2


def test_a_command_trusts_named_and_recorded_keys():
    def are_recorded(*named: str) -> list[bool]:
        return [each.recorded for each in asyncio.run(trusted_keys(load(None, {}), [Path(name) for name in named]))]

    assert are_recorded("a.pub") == [False]
    assert not Path("data").exists()
    assert run(["bundle", "trust", "b.pub"]) == 0
    assert are_recorded("a.pub") == [True, False]
    # With a named key, a data folder that is closed to this user does not matter.
    Path("data/catalog.sqlite").write_bytes(b"damaged" * 1000)
    assert are_recorded("a.pub") == [False]
    with pytest.raises(StorageFault):
        are_recorded()
