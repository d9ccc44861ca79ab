"""``sign`` and ``verify``, and the signatures that ``inspect`` and ``config check`` tell about."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import yaml

from mirror.cli.command_line import run
from mirror.oci import Manifest
from mirror.store.registry import Store
from tests.support.plugins import NAME, put_plugin
from tests.support.signing import KEY, OTHER_KEY

REF = f"{NAME}:1.0"
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """A plugin in the store of the current folder, and two pairs of keys."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    async def fill() -> Manifest:
        async with Store.open(tmp_path / "data") as store:
            return await put_plugin(store)

    for name, key in (("site", KEY), ("other", OTHER_KEY)):
        Path(name).write_bytes(key.to_pem())
        Path(f"{name}.pub").write_bytes(key.public.to_pem())
    return asyncio.run(fill())


def configured(**members: object) -> str:
    """Write a configuration whose rule names keys."""
    rule = {"name": "site", "action": "allow", "signed": {"by": ["site.pub"], **members}}
    Path("c.yaml").write_text(yaml.safe_dump({"admission": {"default": "hold", "rules": [rule]}}))
    return "--config=c.yaml"


def test_what_is_signed_is_verified(capsys: Captured, plugin: Manifest) -> None:
    assert run(["sign", REF, "--key", "site"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"127.0.0.1:5000/{NAME}@{plugin.digest} is signed by site ({KEY.public.fingerprint[:16]})"
    assert second.startswith("  signature sha256:")
    assert run(["verify", REF, "--key", "site.pub"]) == 0
    verified, found = capsys.readouterr().out.splitlines()
    assert verified == f"{NAME}@{plugin.digest} is signed by site.pub ({KEY.public.fingerprint[:16]})"
    assert found.startswith("  cosign signature sha256:")
    assert found.endswith(f": counts, by site.pub ({KEY.public.fingerprint[:16]})")


def test_another_key_is_a_no(capsys: Captured, plugin: Manifest) -> None:
    assert run(["verify", REF, "--key", "other.pub"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{NAME}@{plugin.digest} is signed by none of the keys",
        "  there is no signature",
    ]
    assert run(["sign", REF, "--key", "site"]) == 0
    capsys.readouterr()
    assert run(["verify", REF, "--key", "other.pub"]) == 1
    assert "was made by none of the known keys, or for another payload" in capsys.readouterr().out


def test_a_threshold(capsys: Captured) -> None:
    assert run(["sign", REF, "--key", "site"]) == 0
    both = ["verify", REF, "--key", "site.pub", "--key", "other.pub", "--threshold", "2"]
    assert run(both) == 1
    assert ", and 2 must have signed" in capsys.readouterr().out
    assert run(["sign", REF, "--key", "other"]) == 0
    assert run(both) == 0


def test_a_signature_that_ends(capsys: Captured) -> None:
    assert run(["sign", REF, "--key", "site", "--valid-for", "365d", "--json"]) == 0
    signed = json.loads(capsys.readouterr().out)
    assert signed["name"] == f"127.0.0.1:5000/{NAME}"
    assert run(["verify", REF, "--key", "site.pub", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (found,) = told["signatures"]
    assert (told["verified"], told["threshold"]) == (True, 1)
    assert (found["counts"], found["problem"], found["expires_at"]) == (True, None, signed["expires_at"])
    for span in ("soon", "9999999d"):
        assert run(["sign", REF, "--key", "site", "--valid-for", span]) == 2


def test_the_name_has_the_host_of_the_public_url(capsys: Captured) -> None:
    Path("c.yaml").write_text("server: {url: 'https://mirror.example:5000'}\n")
    assert run(["sign", REF, "--key", "site", "--config", "c.yaml"]) == 0
    assert capsys.readouterr().out.startswith(f"mirror.example:5000/{NAME}@")
    assert run(["verify", REF, "--key", "site.pub"]) == 0


def test_the_keys_of_the_rules_verify_and_inspect_tells_who_signed(capsys: Captured) -> None:
    config = configured()
    assert run(["inspect", REF, config]) == 0
    assert "none of the keys of the admission rules" in " ".join(capsys.readouterr().out.split())
    assert run(["sign", REF, "--key", "site", config]) == 0
    assert run(["verify", REF, config]) == 0
    assert run(["inspect", REF, config]) == 0
    assert f"site.pub ({KEY.public.fingerprint[:16]})" in capsys.readouterr().out
    assert run(["inspect", REF, config, "--json"]) == 0
    (signer,) = json.loads(capsys.readouterr().out)["verified"]["signers"]
    assert signer == {"key": "site.pub", "fingerprint": KEY.public.fingerprint}


def test_the_names_of_a_rule_count_for_inspect_and_verify(capsys: Captured) -> None:
    Path("c.yaml").write_text("server: {url: 'https://mirror.example:5000'}\n")
    assert run(["tag", REF, "site/renamed:1", "--config", "c.yaml"]) == 0
    assert run(["sign", "site/renamed:1", "--key", "site", "--config", "c.yaml"]) == 0
    # The signature is copied by hand, so that the name is one that only the rule knows.
    assert run(["tag", "site/renamed:1", "other/name:1"]) == 0
    assert run(["verify", "other/name:1", "--key", "site.pub"]) == 0  # tagged here, so both names count
    assert run(["verify", "other/name:1", configured(names=["site/*"])]) == 0


def test_a_derived_copy_in_another_repository_tells_it_too(capsys: Captured) -> None:
    config = configured()
    assert run(["sign", REF, "--key", "site", config]) == 0
    assert run(["derive", REF, "site/copy:1", "--env", "DEBUG=1", config]) == 0
    capsys.readouterr()
    assert run(["inspect", "site/copy:1", config, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [signer["key"] for signer in told["original"]["signers"]] == ["site.pub"]


def test_a_derived_copy_tells_who_signed_its_original(capsys: Captured) -> None:
    config = configured()
    assert run(["sign", REF, "--key", "site", config]) == 0
    assert run(["derive", REF, f"{NAME}:copy", "--env", "DEBUG=1", config]) == 0
    capsys.readouterr()
    assert run(["inspect", f"{NAME}:copy", config, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verified"]["signers"] == []
    assert [signer["key"] for signer in told["original"]["signers"]] == ["site.pub"]
    assert run(["inspect", f"{NAME}:copy", config]) == 0
    assert f"signed by site.pub ({KEY.public.fingerprint[:16]})" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["verify", REF], "there is no key to verify with; fix: give --key FILE"),
        (["verify", REF, "--key", "gone.pub"], "gone.pub cannot be read: No such file or directory"),
        (["verify", REF, "--key", "site"], "site is a private key"),
        (["sign", REF, "--key", "gone"], "gone cannot be read: No such file or directory"),
        (["sign", REF, "--key", "site.pub"], "site.pub is a public key, which cannot sign"),
        (["sign", REF, "--key", "site", "--password", "x"], "site is not encrypted, and needs no password"),
    ],
)
def test_a_key_that_is_none(capsys: Captured, arguments: list[str], told: str) -> None:
    assert run(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {told}")


def test_config_check_warns_about_keys(capsys: Captured) -> None:
    Path("big.pub").write_bytes(bytes(70_000))
    rules = [
        {"name": "a", "action": "allow", "signed": {"by": ["site.pub", "gone.pub", "big.pub", "site"]}},
        {"name": "b", "action": "hold", "signed": True},
    ]
    Path("c.yaml").write_text(yaml.safe_dump({"admission": {"rules": rules}}))
    assert run(["config", "check", "--config", "c.yaml"]) == 0
    gone, big, private, unverified = capsys.readouterr().err.splitlines()
    assert gone == (
        "warning: c.yaml:8: admission.rules[a].signed.by[2]: gone.pub cannot be read: No such file or directory, so "
        "signatures by this key never count, fix: correct the path"
    )
    assert "big.pub is larger than 65536 bytes" in big
    assert "site is a private key" in private
    assert "admission.rules[b].signed: true counts any signature and verifies none, fix: " in unverified
