"""Each threat of docs/BUNDLE_TRUST.md, as a person who imports meets it: exit code 1, a reason, and nothing changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mirror.bundle.format.envelope import Envelope
from mirror.bundle.format.statement import PAYLOAD_TYPE
from mirror.bundle.trust.key_set import KeySet, SignedKeySet
from mirror.bundle.trust.signing_keys import SigningKey, VerifyingKey, sign
from mirror.cli.command_line import run
from mirror.oci import Digest
from tests.support.bundles import KEY, OTHER_KEY, BuiltBundle, build_bundle, public_pem, small_plugin

NAME = "contiv/v2plugin:1.0"
THIRD_KEY = Ed25519PrivateKey.from_private_bytes(b"3" * 32)
PLUGINS = [small_plugin(Description=f"release {number}") for number in range(9)]
FIRST = KeySet.of_key(VerifyingKey(KEY.public_key().public_bytes_raw()))


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name, key in (("site", KEY), ("other", OTHER_KEY), ("third", THIRD_KEY)):
        Path(f"{name}.pub").write_bytes(public_pem(key))
    assert run(["bundle", "trust", "site.pub"]) == 0
    capsys.readouterr()


def bundle(serial: int, **options: Any) -> BuiltBundle:
    manifest, blobs = PLUGINS[serial % len(PLUGINS)]
    return build_bundle(Path("site.tar"), {NAME: manifest}, blobs, serial=serial, **options)


def key_set(
    keys: Sequence[Ed25519PrivateKey], *signers: Ed25519PrivateKey, after: KeySet = FIRST, **resets: int
) -> bytes:
    members = [VerifyingKey(key.public_key().public_bytes_raw()) for key in keys]
    made = KeySet.of_keys(members, len(members), FIRST, resets)
    envelope = made.envelope
    for signer in signers:
        envelope = sign(envelope, SigningKey(signer))
    return SignedKeySet(made, envelope).to_bytes()


def held(capsys: pytest.CaptureFixture[str]) -> str | None:
    """Return the digest under the tag in the store; None if there is none."""
    capsys.readouterr()
    run(["ls", "contiv/v2plugin", "--json"])
    return next((str(each["digest"]) for each in json.loads(capsys.readouterr().out or "[]")), None)


def accepted(*arguments: str) -> None:
    assert run(["bundle", "import", "site.tar", *arguments]) == 0


def refused(capsys: pytest.CaptureFixture[str], message: str, *arguments: str) -> None:
    before = held(capsys)
    capsys.readouterr()
    assert run(["bundle", "import", "site.tar", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert held(capsys) == before


def test_a_trusted_bundle_is_imported_and_another_key_is_refused(capsys: pytest.CaptureFixture[str]):
    bundle(1, keys=[OTHER_KEY])
    refused(capsys, "no trusted key has signed the bundle")
    accepted("--key", "other.pub")
    assert held(capsys) == str(PLUGINS[1][0].digest)


def test_one_of_two_signatures_is_refused(capsys: pytest.CaptureFixture[str]):
    sets = [key_set([OTHER_KEY, THIRD_KEY], KEY, OTHER_KEY, THIRD_KEY)]
    Path("2.json").write_bytes(sets[0])
    assert run(["bundle", "trust", "2.json"]) == 0
    bundle(1, keys=[OTHER_KEY])
    refused(capsys, "1 of the 2 keys")
    bundle(1, keys=[OTHER_KEY, THIRD_KEY])
    accepted()


def test_an_old_bundle_and_a_fork_are_refused(capsys: pytest.CaptureFixture[str]):
    bundle(5)
    accepted()
    bundle(4)
    refused(capsys, "older than bundle 5")
    bundle(5, notes=None, previous=Digest.of(b""))
    refused(capsys, "forked")
    bundle(4)
    accepted("--allow-rollback", "4")
    assert held(capsys) == str(PLUGINS[4][0].digest)


def test_a_stripped_statement_is_refused(capsys: pytest.CaptureFixture[str]):
    bundle(1)
    accepted()
    bundle(2, keys=[])
    refused(capsys, "the bundle is not signed")
    # By name, it is accepted as a stream that nobody signed, but not as the one that is signed.
    refused(capsys, "were signed by the chain", "--unsigned")
    bundle(2, keys=[], stream="annex")
    accepted("--unsigned")


@pytest.mark.parametrize("suffix", ["index.json", "blob"])
def test_a_swapped_member_is_refused(suffix: str, capsys: pytest.CaptureFixture[str]):
    built = bundle(1)
    members = [placed.member for placed in built.layout.members]
    touched = next(each for each in members if each.path == suffix) if suffix != "blob" else members[-1]
    Path("site.tar").write_bytes(built.with_content(touched.path, b"x" * touched.size_bytes))
    refused(capsys, touched.digest.hex if suffix == "blob" else "index.json")


def test_a_statement_about_swapped_members_needs_a_signature(capsys: pytest.CaptureFixture[str]):
    signature = bundle(1).envelope.signatures[0]
    other = bundle(2, keys=[])
    forged = Envelope(PAYLOAD_TYPE, other.envelope.payload, (signature,))
    place = next(placed for placed in other.layout.documents() if placed.member.path.endswith("statement.json"))
    content = forged.to_bytes(place.member.size_bytes)
    Path("site.tar").write_bytes(other.with_content(place.member.path, content))
    refused(capsys, "no trusted key has signed the bundle")


def test_a_rotated_key_is_learnt_and_the_former_one_refused(capsys: pytest.CaptureFixture[str]):
    second = key_set([OTHER_KEY], KEY, OTHER_KEY)
    bundle(1)
    accepted()
    bundle(2, keys=[OTHER_KEY], key_sets=[second])
    accepted()
    bundle(3, keys=[KEY])
    refused(capsys, f"key {FIRST.keys[0].key_id} was replaced, and key set 2 counts now")
    refused(capsys, "no trusted key has signed the bundle", "--key", "site.pub")
    # A stale key set in the bundle does not bring the key back.
    bundle(3, keys=[KEY], key_sets=[key_set([KEY], KEY)])
    refused(capsys, "no trusted key has signed the bundle")
    bundle(3, keys=[OTHER_KEY])
    accepted()


def test_every_command_knows_that_a_key_was_replaced(capsys: pytest.CaptureFixture[str]):
    bundle(1, keys=[OTHER_KEY], key_sets=[key_set([OTHER_KEY], KEY, OTHER_KEY)])
    accepted()
    bundle(2, keys=[KEY])
    for command in (["bundle", "show", "site.tar"], ["bundle", "verify", "site.tar"], ["lint", f"site.tar:{NAME}"]):
        assert run([*command, "--key", "site.pub"]) == 1
        assert "was replaced, and key set 2 counts now" in capsys.readouterr().err
    bundle(2, keys=[OTHER_KEY])
    capsys.readouterr()
    assert run(["bundle", "show", "site.tar", "--key", "site.pub", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["trusted_signers"] == [Digest.of(_raw(OTHER_KEY)).hex]


def _raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def test_a_refused_bundle_leaves_no_key_set(capsys: pytest.CaptureFixture[str]):
    bundle(1, keys=[THIRD_KEY], key_sets=[key_set([THIRD_KEY], THIRD_KEY)])
    refused(capsys, "no trusted key has signed the bundle")
    bundle(1)
    accepted()


def test_a_fast_forward_is_undone_by_a_reset(capsys: pytest.CaptureFixture[str]):
    bundle(2**53 - 1)
    accepted()
    second = key_set([OTHER_KEY], KEY, OTHER_KEY, test=5)
    bundle(6, keys=[OTHER_KEY], key_sets=[second])
    accepted("--dry-run")  # which learns no key set
    bundle(5, keys=[OTHER_KEY], key_sets=[second])
    refused(capsys, "forked")
    bundle(6, keys=[OTHER_KEY], key_sets=[second])
    accepted()
    # The reset counts once.
    bundle(7, keys=[OTHER_KEY], key_sets=[second])
    accepted()
    bundle(6, keys=[OTHER_KEY], key_sets=[second])
    refused(capsys, "older than bundle 7")


def test_another_trusted_sender_cannot_take_a_stream(capsys: pytest.CaptureFixture[str]):
    bundle(1)
    accepted()
    assert run(["bundle", "trust", "other.pub"]) == 0
    bundle(2, keys=[OTHER_KEY])
    refused(capsys, "this bundle by another one")


def test_an_old_bundle_is_refused_where_the_site_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    bundle(1, created=datetime(2020, 1, 1, tzinfo=UTC))
    monkeypatch.setenv("PLUGIN_MIRROR_BUNDLES__MAX_AGE", "90d")
    refused(capsys, "bundles.max_age refuses bundles older than 90 d")
    monkeypatch.delenv("PLUGIN_MIRROR_BUNDLES__MAX_AGE")
    capsys.readouterr()
    accepted()
    assert "a newer one may have been held back" in capsys.readouterr().err
