"""``bundle export`` on a data folder: what is taken, what is left out, streams, serials and deltas."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from mirror.bundle.delta.receipt import Receipt
from mirror.bundle.format.bundle_head import BundleHead, read_head
from mirror.bundle.format.byte_source import FileSource
from mirror.cli.command_line import run
from mirror.oci import Digest, Repository, Tag
from mirror.oci.timestamps import machine_time
from mirror.records.sync_runs import MirroredTag, RunStep, TagOutcome, TagRecord
from mirror.runtime.current_rule import working_for
from mirror.store.registry import Store
from tests.support.builders import hold
from tests.support.bundles import CREATED, small_plugin
from tests.support.layers import LAYER

DRIVER, OTHER, RULED = Repository("acme/driver"), Repository("acme/other"), Repository("acme/ruled")
PLUGIN, PLUGIN_BLOBS = small_plugin(LAYER, Description="driver")
HOST, HOST_BLOBS = small_plugin(LAYER, Network={"Type": "host"})
RULED_PLUGIN, RULED_BLOBS = small_plugin(LAYER, Description="ruled")
DENY = "admission: {rules: [{name: no-host, action: deny, privileges: [network=host]}]}"


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Store a plugin, one with the network of the host, and one that a rule has brought."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    async def fill() -> None:
        async with Store.open(tmp_path / "data") as opened:
            await hold(opened, DRIVER, PLUGIN_BLOBS, [PLUGIN], "1.0")
            await hold(opened, OTHER, HOST_BLOBS, [HOST], "1.0")
            with working_for("contiv"):
                await hold(opened, RULED, RULED_BLOBS, [RULED_PLUGIN], "1.0")
            there, digest = Repository("store/ruled"), RULED_PLUGIN.digest
            row = MirroredTag(RULED, Tag("1.0"), "contiv", "hub", there, digest, digest, CREATED)
            recorder = opened.records.sync_runs
            step = RunStep(TagRecord(RULED, Tag("1.0"), TagOutcome.COPIED), row)
            await recorder.record(await recorder.begin_run("contiv"), [step])

    asyncio.run(fill())


def exported(capsys: pytest.CaptureFixture[str], *arguments: str, output: str = "f.tar") -> Any:
    capsys.readouterr()
    assert run(["bundle", "export", "-o", output, "--unsigned", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    capsys.readouterr()
    assert run(["bundle", "export", "-o", "f.tar", *arguments]) == code
    assert not list(Path.cwd().glob("f.tar*"))
    return capsys.readouterr().err


def head_of(file: str = "f.tar") -> BundleHead:
    async def read() -> BundleHead:
        return await read_head(await FileSource.open(Path(file)))

    return asyncio.run(read())


def test_names_a_rule_and_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(exported(capsys, "acme/driver:1.0")["names"]) == ["acme/driver:1.0"]
    assert list(exported(capsys, "--rule", "contiv")["names"]) == ["acme/ruled:1.0"]
    together = exported(capsys, "--rule", "contiv", "acme/driver:1.0")
    assert sorted(together["names"]) == ["acme/driver:1.0", "acme/ruled:1.0"]
    everything = exported(capsys, "--all")
    assert sorted(everything["names"]) == ["acme/driver:1.0", "acme/other:1.0", "acme/ruled:1.0"]


def test_a_digest_is_exported_without_a_tag(capsys: pytest.CaptureFixture[str]) -> None:
    name = f"acme/driver@{PLUGIN.digest}"

    assert exported(capsys, name)["names"] == {name: str(PLUGIN.digest)}


def test_origins_and_first_times_travel_in_the_statement(capsys: pytest.CaptureFixture[str]) -> None:
    exported(capsys, "--all")

    notes = head_of().statement.notes
    assert {name: origin.source for name, origin in notes.origins.items()} == {
        "acme/driver:1.0": "",
        "acme/other:1.0": "",
        "acme/ruled:1.0": "hub/store/ruled",
    }
    assert machine_time(notes.origins["acme/ruled:1.0"].brought_at) == machine_time(CREATED)
    assert set(notes.first_seen) == {PLUGIN.digest, HOST.digest, RULED_PLUGIN.digest}


def test_a_denied_plugin_is_left_out_with_a_note(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(DENY)

    told = exported(capsys, "--all", "--config", "c.yaml")

    assert sorted(told["names"]) == ["acme/driver:1.0", "acme/ruled:1.0"]
    (note,) = told["left_out"]
    assert note.startswith("acme/other:1.0 is left out")
    assert "no-host" in note


def test_a_denied_plugin_that_was_asked_for_is_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(DENY)

    assert "no-host" in refused(capsys, "--unsigned", "--config", "c.yaml", "acme/other:1.0", code=1)


def test_serials_of_a_stream_follow_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    first = exported(capsys, "acme/driver:1.0")
    second = exported(capsys, "acme/driver:1.0")
    other = exported(capsys, "acme/driver:1.0", "--stream", "other")
    third = exported(capsys, "acme/driver:1.0", "--stream", first["stream"], "--serial", "7")

    assert (first["serial"], second["serial"], other["serial"], third["serial"]) == (1, 2, 1, 7)
    assert (second["stream"], other["stream"]) == (first["stream"], "other")
    assert str(head_of().statement.previous) == second["statement"]
    assert "has come to serial 7" in refused_with_file(capsys, "--stream", first["stream"], "--serial", "3")


def refused_with_file(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the message of a refusal that leaves the earlier bundle as it is."""
    before = Path("f.tar").read_bytes()
    capsys.readouterr()
    assert run(["bundle", "export", "-o", "f.tar", "--unsigned", "acme/driver:1.0", *arguments]) == 2
    assert Path("f.tar").read_bytes() == before
    return capsys.readouterr().err


def test_a_delta_since_a_serial_has_only_what_is_new(capsys: pytest.CaptureFixture[str]) -> None:
    exported(capsys, "acme/driver:1.0")
    exported(capsys, "acme/ruled:1.0")

    delta = exported(capsys, "--all", "--since", "2", output="delta.tar")

    assert list(delta["names"]) == ["acme/other:1.0"]
    assert {placed.member.digest for placed in head_of("delta.tar").layout.blobs()} == {
        HOST.digest,
        Digest.of(HOST_BLOBS[0]),
    }


def test_a_delta_since_a_receipt_names_the_receipt(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    held = {PLUGIN.digest, *map(Digest.of, PLUGIN_BLOBS)}
    receipt = Receipt(CREATED, frozenset(held), {"acme/driver:1.0": PLUGIN.digest})
    (tmp_path / "site.receipt").write_bytes(receipt.to_bytes())

    delta = exported(capsys, "--all", "--since", "site.receipt")

    assert sorted(delta["names"]) == ["acme/other:1.0", "acme/ruled:1.0"]
    since = head_of().statement.since
    assert since is not None
    assert since.receipt == receipt.digest


def test_a_dry_run_writes_and_records_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    planned = exported(capsys, "--all", "--dry-run")

    assert not Path("f.tar").exists()
    written = exported(capsys, "--all")
    assert (planned["written"], written["written"]) == (False, True)
    assert (planned["size_bytes"], planned["serial"]) == (written["size_bytes"], written["serial"])


def test_a_part_is_made_again_from_the_record(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    exported(capsys, "--all")
    assert run(["bundle", "split", "f.tar", "--size", "8KiB"]) == 0
    parts = sorted(tmp_path.glob("f.tar.part-*"))
    before = {part: part.read_bytes() for part in parts}
    for number, part in enumerate(parts, start=1):
        part.unlink()
        capsys.readouterr()
        assert run(["bundle", "export", "-o", "f.tar", "--part", str(number), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["as_before"] is True
    assert {part: part.read_bytes() for part in parts} == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["acme/driver:1.0"], "--key F"),
        (["acme/driver:1.0", "--unsigned", "--key", "k"], "not both"),
        (["--unsigned"], "nothing is named"),
        (["--unsigned", "hub.example/acme/driver"], "plugin-mirror fetch"),
        (["--unsigned", "--rule", "nobody"], "was brought by a rule 'nobody'"),
        (["--unsigned", "--all", "--since", "4"], "no bundle with this serial"),
        (["--unsigned", "--all", "--since", "9" * 20], "no bundle with this serial"),
        (["--unsigned", "--all", "--since", "missing.receipt"], "missing.receipt cannot be read"),
        (["--unsigned", "--all", "--stream", "a b"], "not the name of a stream"),
        (["--unsigned", "--all", "--serial", "0"], "--serial 0"),
        (["--unsigned", "--all", "--platform", "amd64"], "not a platform"),
        (["--all", "--key", "missing"], "missing cannot be read"),
        (["--part", "1"], "no bundle was exported here"),
        (["--part", "1", "--all"], "as it was"),
    ],
)
def test_what_cannot_be_meant_is_refused(capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    assert told in refused(capsys, *arguments)


def test_an_absent_name_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nobody" in refused(capsys, "--unsigned", "acme/nobody:1.0", code=1)
