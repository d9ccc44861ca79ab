"""``bundle show`` and ``bundle receipt``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mirror.bundle.delta.receipt import Receipt
from mirror.bundle.format.bundle_index import NamedManifest
from mirror.bundle.format.statement import Since
from mirror.bundle.report.plugin_report import plugin_report
from mirror.cli.command_line import run
from mirror.oci import Digest, Manifest, Repository
from mirror.records.bundle_trust import StreamState
from mirror.registry.memory import MemoryRegistry
from mirror.store.records.bundles.sql_bundle_trust import put_stream
from mirror.store.registry import Store
from tests.support.builders import hold
from tests.support.bundles import KEY, OTHER_KEY, build_bundle, named, public_pem, small_plugin

NOW = datetime(2026, 11, 29, 8, 30, tzinfo=UTC)
MOUNT = {"Name": "data", "Source": "/srv/data", "Destination": "/data", "Type": "bind"}
READ_ONLY = {**MOUNT, "Options": ["rbind", "ro"]}
Plugin = tuple[Manifest, list[bytes]]

QUIET, NETWORK = small_plugin(), small_plugin(Network={"Type": "host"})
READING, WRITING = small_plugin(Mounts=[READ_ONLY]), small_plugin(Mounts=[MOUNT])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, without a data folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "sender.pub").write_bytes(public_pem(KEY))
    (tmp_path / "other.pub").write_bytes(public_pem(OTHER_KEY))
    return tmp_path


def bundle(names: Mapping[str, Plugin], **options: Any) -> None:
    """Write ``site.tar``, with a correct report unless one is given."""
    manifests = {name: manifest for name, (manifest, _) in names.items()}
    blobs = [blob for _, contents in names.values() for blob in contents]
    report = asyncio.run(_report(names)) if "report" not in options else options.pop("report")
    options.setdefault("created", datetime.now(UTC).replace(microsecond=0))  # an old bundle has a warning
    build_bundle(Path("site.tar"), manifests, blobs, report=report, **options)


async def _report(names: Mapping[str, Plugin]) -> bytes:
    registry, listed = MemoryRegistry(), list[NamedManifest]()
    for name, (manifest, blobs) in names.items():
        listed.append(named(name, manifest))
        await hold(registry, listed[-1].repository, blobs, [manifest])
    return await plugin_report(registry, listed)


def held(names: Mapping[str, Plugin], *streams: StreamState) -> None:
    """Create the data folder ``data``."""

    async def fill() -> None:
        async with Store.open(Path("data")) as store:
            for name, (manifest, blobs) in names.items():
                repository, _, tag = name.partition(":")
                await hold(store, Repository(repository), blobs, [manifest], tag)
            for state in streams:
                await store.services.catalog.write(lambda connection, state=state: put_stream(connection, state))

    asyncio.run(fill())


def show(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert run(["bundle", "show", "site.tar", "--json", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def printed(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert run(["bundle", "show", "site.tar", *options]) == 0
    return capsys.readouterr().out


def by_name(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in found["names"]}


def test_a_bundle_is_shown_without_a_data_folder(capsys: pytest.CaptureFixture[str]):
    bundle({"acme/quiet:1": QUIET, "acme/net:1": NETWORK}, keys=())
    found = show(capsys)
    assert (found["stream"], found["serial"], found["compared"], found["order"]) == ("test", 1, False, "new")
    assert (found["since"], found["warnings"], found["last_imported"]) == (None, [], None)
    assert [each["name"] for each in found["names"]] == ["acme/net:1", "acme/quiet:1"]
    assert by_name(found)["acme/net:1"]["privileges"] == [{"name": "network", "value": "host"}]
    assert not Path("data").exists()
    assert "(new" not in printed(capsys)


def test_grown_privileges_come_first_then_changes_and_what_is_the_same_is_only_counted(
    capsys: pytest.CaptureFixture[str],
):
    bundle({"a/same:1": QUIET, "b/other:1": small_plugin(Description="later"), "c/grown:1": NETWORK})
    held({"a/same:1": QUIET, "b/other:1": QUIET, "c/grown:1": QUIET})
    found = show(capsys)
    assert [(each["name"], each["status"]) for each in found["names"]] == [
        ("c/grown:1", "changed"),
        ("b/other:1", "changed"),
        ("a/same:1", "same"),
    ]
    assert by_name(found)["c/grown:1"]["added"] == [{"name": "network", "value": "host"}]
    shown = printed(capsys)
    lines = [line.strip() for line in shown.splitlines()]
    assert lines.index("New and grown privileges") < lines.index("+ network: host") < lines.index("Other changes")
    assert "Unchanged: 1 name" in lines
    assert "a/same" not in shown


def test_a_mount_that_becomes_writable_is_a_grown_privilege_and_less_access_is_not(capsys: pytest.CaptureFixture[str]):
    bundle({"a/more:1": WRITING, "b/less:1": READING})
    held({"a/more:1": READING, "b/less:1": WRITING})
    found = by_name(show(capsys))
    assert found["a/more:1"]["added"] == [{"name": "mount", "value": "/srv/data"}]
    assert found["b/less:1"]["added"] == []
    assert found["b/less:1"]["removed"] == [{"name": "mount", "value": "/srv/data"}]


def test_a_new_tag_is_compared_with_the_tags_of_its_repository(capsys: pytest.CaptureFixture[str]):
    bundle({"acme/net:2": NETWORK, "acme/wide:2": WRITING})
    held({"acme/net:1": NETWORK, "acme/wide:1": QUIET})
    found = by_name(show(capsys))
    assert (found["acme/net:2"]["status"], found["acme/net:2"]["added"]) == ("new", [])
    assert found["acme/wide:2"]["added"] == [{"name": "mount", "value": "/srv/data"}]


def test_content_that_a_delta_leaves_out_is_read_from_the_store(capsys: pytest.CaptureFixture[str]):
    manifest, blobs = NETWORK
    bundle(
        {"acme/net:1": NETWORK},
        since=Since(serial=3),
        serial=4,
        report=b"",
        left_out={manifest.digest, *map(Digest.of, blobs)},
    )
    (unknown,) = show(capsys)["names"]
    assert (unknown["privileges"], unknown["only_reported"]) == (None, False)
    assert "not in the bundle, and not here" in printed(capsys)
    held({"elsewhere/net:9": NETWORK})
    found = show(capsys)
    assert found["since"] == {"receipt": None, "serial": 3}
    assert found["names"][0]["privileges"] == [{"name": "network", "value": "host"}]


def test_content_that_is_not_here_is_shown_as_the_sender_reports_it(capsys: pytest.CaptureFixture[str]):
    bundle({"acme/net:1": NETWORK}, left_out={NETWORK[0].digest}, since=Since(serial=1), serial=2)
    (change,) = show(capsys)["names"]
    assert (change["privileges"], change["only_reported"]) == ([{"name": "network", "value": "host"}], True)
    assert "as the sender reports" in printed(capsys)


def test_a_report_that_says_something_else_than_the_content_is_told(capsys: pytest.CaptureFixture[str]):
    report = asyncio.run(_report({"acme/net:1": NETWORK})).replace(b'["network","host"]', b"")
    bundle({"acme/net:1": NETWORK}, report=report, keys=())
    found = show(capsys)
    assert by_name(found)["acme/net:1"]["privileges"] == [{"name": "network", "value": "host"}]
    (warning,) = found["warnings"]
    assert str(NETWORK[0].digest) in warning


def test_the_signer_is_named_and_a_wrong_key_is_an_error(capsys: pytest.CaptureFixture[str]):
    bundle({"acme/quiet:1": QUIET})
    assert show(capsys)["trusted_signers"] == []
    assert "not checked; fix: name the key of the sender with --key F.pub" in printed(capsys)
    assert len(show(capsys, "--key", "sender.pub")["trusted_signers"]) == 1
    assert "which is trusted" in printed(capsys, "--key", "sender.pub")
    assert run(["bundle", "show", "site.tar", "--key", "other.pub"]) == 1
    assert "no trusted key has signed the bundle" in capsys.readouterr().err
    bundle({"acme/quiet:1": QUIET}, keys=())
    assert "not signed" in printed(capsys)


def test_the_age_of_a_bundle_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    created = datetime.now(UTC).replace(microsecond=0) - timedelta(days=40)
    bundle({"acme/quiet:1": QUIET}, keys=(), created=created)
    (warning,) = show(capsys)["warnings"]
    assert "the bundle is 40 d old" in warning
    monkeypatch.setenv("PLUGIN_MIRROR_BUNDLES__MAX_AGE", "35d")
    (warning,) = show(capsys)["warnings"]
    assert warning.startswith("an import refuses this bundle: the bundle is 40 d old")


@pytest.mark.parametrize(
    ("serial", "order", "line"),
    [(5, None, "an import refuses this one"), (8, "gap", "the bundles in between were not imported"), (7, "new", "")],
)
def test_the_place_in_the_stream_is_told(capsys: pytest.CaptureFixture[str], serial: int, order: str | None, line: str):
    bundle({"acme/quiet:1": QUIET}, serial=serial, keys=())
    held({}, StreamState("test", 6, Digest.of(b"six"), NOW, NOW))
    found = show(capsys)
    assert (found["order"], found["last_imported"]["serial"]) == (order, 6)
    assert len(found["warnings"]) == (order is None)
    assert line in printed(capsys)


def test_other_files_are_refused(capsys: pytest.CaptureFixture[str]):
    Path("site.tar").write_bytes(b"no bundle" * 1000)
    assert run(["bundle", "show", "site.tar"]) == 1
    assert "site.tar is not a bundle" in capsys.readouterr().err
    assert run(["bundle", "show", "absent.tar"]) == 2


def test_a_receipt_lists_what_the_store_holds(capsys: pytest.CaptureFixture[str]):
    held({"acme/net:1": NETWORK}, StreamState("hub", 6, Digest.of(b"six"), NOW, NOW))
    assert run(["bundle", "receipt", "-o", "site.receipt"]) == 0
    assert "last bundle of stream hub: 6" in capsys.readouterr().out
    receipt = Receipt.parse(Path("site.receipt").read_bytes())
    manifest, blobs = NETWORK
    assert receipt.digests == {manifest.digest, *map(Digest.of, blobs)}
    assert receipt.names["acme/net:1"] == manifest.digest
    assert receipt.streams == {"hub": 6}
    assert run(["bundle", "receipt", "-o", "site.receipt", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["digests"], found["streams"]) == (3, {"hub": 6})


def test_a_receipt_needs_a_data_folder_and_a_folder_for_its_file(capsys: pytest.CaptureFixture[str]):
    assert run(["bundle", "receipt", "-o", "site.receipt"]) == 2
    assert "no data folder" in capsys.readouterr().err
    held({})
    assert run(["bundle", "receipt", "-o", "absent/site.receipt"]) == 2
    assert "there is no folder absent; fix: create it" in capsys.readouterr().err
    assert not Path("site.receipt").exists()
