"""Commands on plugins that were rejected or are incomplete."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from mirror.cli.command_line import run
from mirror.oci import Digest, Manifest, Repository, Tag, media_types
from mirror.store.registry import Store
from tests.support.builders import hold, plugin
from tests.support.layers import LAYER

HERE, OTHER = Repository("acme/driver"), Repository("acme/copy")
CONFIG = json.dumps(
    {
        "Env": [{"Name": "role", "Value": "master"}],
        "Network": {"Type": "host"},
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(LAYER))]},
    }
).encode()
PLUGIN = plugin(CONFIG, LAYER)
SPACED = Manifest.parse(PLUGIN.content + b"\n", PLUGIN.media_type)
LATE = Manifest.parse(
    json.dumps(
        {
            **json.loads(PLUGIN.content),
            "layers": [
                {
                    "mediaType": media_types.DOCKER_LAYER_GZIP,
                    "digest": str(Digest.of(b"late")),
                    "size": 4,
                    "urls": ["https://elsewhere.example"],
                }
            ],
        }
    ).encode(),
    PLUGIN.media_type,
)
DENY = "admission: {rules: [{name: no-host, action: deny, privileges: [network=host]}]}"
HOLD = DENY.replace("deny", "hold")


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin, the same content under another digest and name, and a plugin whose layer is missing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    async def fill() -> None:
        async with Store.open(tmp_path / "data") as opened:
            await hold(opened, HERE, [CONFIG, LAYER], [PLUGIN], "1.0")
            await hold(opened, OTHER, [CONFIG, LAYER], [SPACED], "1.0")
            await opened.put_manifest(HERE, LATE, [Tag("late")])

    asyncio.run(fill())


@pytest.fixture
def rejected(store: None, capsys: pytest.CaptureFixture[str]) -> None:
    """The store after the first plugin was rejected."""
    assert run(["admission", "reject", "acme/driver:1.0", "--by", "bob"]) == 0
    capsys.readouterr()


@pytest.mark.usefixtures("rejected")
@pytest.mark.parametrize(
    "command",
    [
        ["tag", "acme/driver:1.0", "acme/driver:2.0"],
        ["tag", "acme/driver:1.0", "third/name"],
        ["tag", "acme/copy:1.0", "third/name"],
        ["derive", "acme/driver:1.0", "third/name", "--env", "role=netplugin"],
        ["derive", "acme/copy:1.0", "third/name", "--env", "role=netplugin"],
    ],
    ids=" ".join,
)
def test_what_was_rejected_gets_no_other_name_and_no_copy(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command) == 1
    assert "rejected by bob on " in capsys.readouterr().err
    assert run(["ls", "third/name", "--json"]) in {0, 1}
    assert capsys.readouterr().out in {"", "[]\n"}


def test_another_name_is_judged_by_the_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "deny.yaml").write_text(DENY)
    (tmp_path / "hold.yaml").write_text(HOLD)
    assert run(["tag", "acme/driver:1.0", "third/name", "--config", "deny.yaml"]) == 1
    assert "third/name is denied by the rule 'no-host': it asks for network: host" in capsys.readouterr().err
    assert run(["tag", "acme/driver:1.0", "third/name", "--config", "hold.yaml"]) == 0
    told = capsys.readouterr()
    assert "third/name is held by the rule 'no-host'" in told.err
    assert told.out.endswith(f"third/name:latest is {PLUGIN.digest}\n")


@pytest.mark.usefixtures("rejected")
def test_lists_and_looks_tell_what_was_rejected_as_another(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["admission", "ls", "--state", "rejected"]) == 0
    listed = capsys.readouterr().out
    assert f"acme/copy@{SPACED.digest}  (1.0)\n" in listed
    assert f", as acme/driver@{PLUGIN.digest}, by bob" in listed

    said = f"acme/copy@{SPACED.digest} is rejected: it has the content of acme/driver@{PLUGIN.digest}"
    assert run(["inspect", "acme/copy:1.0"]) == 0
    assert said in capsys.readouterr().out
    assert run(["inspect", "--quick", "--json", "acme/copy:1.0"]) == 0
    told = json.loads(capsys.readouterr().out)["admission"]
    assert (told["state"], told["rejected_as"]) == ("rejected", f"acme/driver@{PLUGIN.digest}")
    assert run(["lint", "--json", "acme/copy:1.0"]) == 1
    findings = {one["code"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
    assert said in findings["plugin-withheld"]["text"]


def test_looks_tell_that_a_layer_is_not_here(capsys: pytest.CaptureFixture[str]) -> None:
    said = "acme/driver is denied by the rule 'unreadable': it cannot be judged: layer 1 is not stored here"
    assert run(["inspect", "acme/driver:late"]) == 0
    assert said in capsys.readouterr().out
    assert run(["lint", "--json", "acme/driver:late"]) == 1
    findings = {one["code"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
    assert said in findings["plugin-withheld"]["text"]


def test_what_nothing_is_said_of_has_no_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "--json", "acme/driver:1.0"]) == 0
    assert "admission" not in json.loads(capsys.readouterr().out)
