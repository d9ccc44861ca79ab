"""``tag`` and ``derive`` on a local store."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from mirror.cli.command_line import run
from mirror.oci import Digest, Repository, Tag
from mirror.store.registry import Store
from tests.support.builders import hold, index, plugin, read_blob
from tests.support.layers import LAYER

HERE = Repository("acme/driver")
CONFIG = json.dumps(
    {
        "Env": [{"Name": "role", "Value": "master"}],
        "Args": {"Name": "args", "Value": ["a"]},
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(LAYER))]},
    }
).encode()
PLUGIN = plugin(CONFIG, LAYER)
INDEX = index(PLUGIN.descriptor)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store in the current folder, with a plugin as engines since 20.10 push it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("mirror.app.plugin_authoring.os_user_name", lambda: "ann")

    async def fill() -> None:
        async with Store.open(tmp_path / "data") as opened:
            await hold(opened, HERE, [CONFIG, LAYER], [PLUGIN], "1.0")
            await hold(opened, HERE, [], [INDEX], "all")

    asyncio.run(fill())


def test_a_tag_is_told_with_its_digest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tag", "acme/driver:1.0", "site/driver"]) == 0
    assert run(["tag", "acme/driver:1.0", "site/driver:latest"]) == 0
    assert capsys.readouterr().out == (
        f"site/driver:latest is {PLUGIN.digest}\nsite/driver:latest is {PLUGIN.digest} already\n"
    )
    assert run(["tag", f"acme/driver@{INDEX.digest}", "site/driver", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "name": "site/driver",
        "tag": "latest",
        "digest": str(INDEX.digest),
        "before": str(PLUGIN.digest),
    }


def test_a_copy_does_not_move_an_immutable_tag(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mirror.yaml").write_text('repositories: [{pattern: "site/**", immutable: ["1.*"]}]')
    assert run(["tag", "acme/driver:1.0", "site/driver:1.0", "-c", "mirror.yaml"]) == 0
    assert run(["derive", "acme/driver:1.0", "site/driver:1.0", "--env", "role=worker", "-c", "mirror.yaml"]) == 1
    assert f"error: site/driver:1.0 is immutable and points to {PLUGIN.digest}" in capsys.readouterr().err


def test_a_copy_is_told_with_what_is_different(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["--env", "role=worker", "--args", "b 'c d'", "--fix"]
    assert run(["derive", "acme/driver:1.0", "site/driver:1.0", *wanted]) == 0
    first, *told = capsys.readouterr().out.splitlines()
    assert told == [
        f"  derived from {PLUGIN.digest}",
        '  env role: "master" -> "worker"',
        '  args: ["a"] -> ["b", "c d"]',
        "  diff_ids: those of the uncompressed layers",
    ]
    assert run(["derive", "acme/driver:1.0", "site/driver:1.0", *wanted, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert first == f"site/driver:1.0 is {again['digest']}"
    assert (again["before"], again["derived_from"], again["moved_bytes"]) == (again["digest"], str(PLUGIN.digest), 0)

    assert run(["inspect", "site/driver:1.0"]) == 0
    shown = capsys.readouterr().out
    assert re.search(rf"Derived from:  acme/driver@{PLUGIN.digest} by user ann, (just now|\d+ s ago)\n", shown)
    assert 'changed: env role: "master" -> "worker"\n' in shown
    assert "note: diff_ids" not in shown
    assert run(["inspect", "site/driver:1.0", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)["derivation"]
    assert (made["made_by"], made["original"]) == ("user ann", str(PLUGIN.digest))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["made_at"])
    assert made["changes"] == {"env": {"role": "worker"}, "args": ["b", "c d"], "fix": True}
    assert run(["inspect", f"site/driver@{PLUGIN.digest}"]) == 0
    capsys.readouterr()


def test_a_secret_is_in_the_copy_and_in_no_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(["derive", "acme/driver:1.0", "site/driver:1.0", "-e", "role=--token=q7Rz", "--args", "--apikey q7Rz"]) == 0
    )
    for command in (
        ["inspect", "site/driver:1.0"],
        ["inspect", "site/driver:1.0", "--json"],
        ["lint", "site/driver:1.0"],
        ["diff", "acme/driver:1.0", "site/driver:1.0"],
        ["diff", "site/driver:1.0", "acme/driver:1.0", "--json"],
    ):
        assert run(command) in {0, 1}
    told = capsys.readouterr()
    assert "q7Rz" not in told.out + told.err
    assert '  env role: "master" -> "--token=(hidden)"\n' in told.out
    assert "note: these parts of the config look like secrets, by their names or values: env role, args" in told.err

    async def held() -> tuple[bytes, object]:
        async with Store.open(tmp_path / "data") as store:
            manifest = await store.get_manifest(Repository("site/driver"), Tag("1.0"))
            assert manifest.config is not None
            made = await store.records.derivations.derivation(manifest.digest)
            return await read_blob(store, manifest.config.digest, Repository("site/driver")), made and made.changes

    config, changes = asyncio.run(held())
    assert json.loads(config)["Env"][0]["Value"] == "--token=q7Rz"
    assert changes == {"env": {"role": "--token=q7Rz"}, "args": ["--apikey", "q7Rz"]}


def test_a_copy_that_only_old_engines_mind_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["derive", "acme/driver:1.0", "site/driver:1.0", "-e", "role=worker"]) == 0
    assert "note: diff_ids are the digests of the compressed layers" in capsys.readouterr().err


def test_where_nothing_had_to_be_changed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["derive", "acme/driver:1.0", "site/driver:1.0", "-e", "role=master"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"site/driver:1.0 is {PLUGIN.digest}",
        "  no changes: this is the original plugin",
    ]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "told"),
    [
        (["tag", "registry.example/a:1", "b"], 2, "'plugin-mirror sync'"),
        (["tag", "acme/driver:1.0", "registry.example/b"], 2, "without registry.example/"),
        (["tag", "acme/driver:1.0", f"b@{PLUGIN.digest}"], 2, "write NAME[:TAG]"),
        (["tag", "acme/driver:1.0", f"b:sha256-{'0' * 64}.sig"], 2, "reserved for referrers"),
        (["tag", "acme/driver:2.0", "b"], 1, "acme/driver has no"),
        (["derive", "acme/driver:1.0", "b"], 2, "there is nothing to change"),
        (["derive", "acme/driver:1.0", "b", "--env", "role"], 2, "--env 'role' is not KEY=VALUE"),
        (["derive", "acme/driver:1.0", "b", "--env", "a=b", "--env", "a=c"], 2, "--env 'a' is given twice"),
        (
            ["derive", "acme/driver:1.0", "b", "--env", "name=x"],
            2,
            "no environment variable named 'name' (it has: role)",
        ),
        (["derive", "acme/driver:1.0", "b", "--args", "'"], 2, "--args"),
        (["derive", "acme/driver:all", "b", "--fix"], 1, "digest of one of its members"),
        (["derive", "127.0.0.1:9/a:1", "b", "--fix"], 3, "127.0.0.1:9"),
    ],
)
def test_what_cannot_be_done_is_told_and_leaves_no_name(
    arguments: list[str], exit_code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == exit_code
    assert told in capsys.readouterr().err
    assert run(["ls", "--json"]) == 0
    names = {row["name"]: row["tags"] for row in json.loads(capsys.readouterr().out)}
    assert not names.get("b")
