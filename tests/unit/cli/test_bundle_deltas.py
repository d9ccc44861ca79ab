"""Deltas over several generations, in both directions, with lost bundles in between; and how small they are."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mirror.bundle.format.byte_source import HOP_BYTES
from mirror.cli.command_line import run
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.records.absent_content import AbsenceReason, AbsentContent
from mirror.registry.listing import all_repositories, all_tags
from mirror.runtime import logs
from mirror.store.registry import Store
from tests.support.builders import hold, index, manifest_of, read_blob
from tests.support.bundles import small_plugin
from tests.support.layers import entry, tar, zipped
from tests.support.plugins import DRIVER

Plugin = tuple[Manifest, list[bytes]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of both sides."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "500")
    monkeypatch.setattr(logs, "configured", lambda *_, **__: nullcontext())
    return tmp_path


def plugin(text: str, size_bytes: int = 500) -> Plugin:
    """Return a plugin whose layer does not compress."""
    layer = zipped(tar(entry("bin/driver", DRIVER + random.Random(text).randbytes(size_bytes), mode=0o755)))
    return small_plugin(layer, Description=text)


@dataclass(frozen=True)
class Site:
    """One side of the gap.

    Attributes:
        name: name of the data folder.
    """

    name: str

    def push(self, **plugins: Plugin) -> None:
        """Push plugins under ``contiv/KEY:1.0``."""

        async def work() -> None:
            async with Store.open(Path(self.name)) as store:
                for key, (manifest, blobs) in plugins.items():
                    await hold(store, Repository(f"contiv/{key}"), blobs, [manifest], "1.0")

        asyncio.run(work())

    def export(self, file: str, *options: str) -> None:
        """Export everything."""
        assert run(["bundle", "export", "-o", file, "--all", "--unsigned", "--data", self.name, *options]) == 0

    def receipt(self, file: str) -> str:
        """Write a receipt, and return the name of its file."""
        assert run(["bundle", "receipt", "-o", file, "--data", self.name]) == 0
        return file

    def imports(self, file: str, *options: str) -> int:
        """Import a bundle, and return the exit code."""
        return run(["bundle", "import", file, "--unsigned", "--data", self.name, *options])

    def contents(self) -> dict[str, Digest]:
        """Return the digest of each tag. Every manifest and blob below it is read."""

        async def work() -> dict[str, Digest]:
            async with Store.open(Path(self.name)) as store:
                found: dict[str, Digest] = {}
                async for repository in all_repositories(store):
                    async for tag in all_tags(store, repository):
                        manifest = await store.get_manifest(repository, tag)
                        for blob in manifest.blobs:
                            await read_blob(store, blob.digest, repository)
                        found[f"{repository}:{tag}"] = manifest.digest
                return found

        return asyncio.run(work())


HQ, SHIP = Site("hq"), Site("ship")


def shown(file: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["bundle", "show", file, "--json", "--data", "nowhere"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def names_in(file: str, capsys: pytest.CaptureFixture[str]) -> Collection[str]:
    return {each["name"] for each in shown(file, capsys)["names"]}


def test_three_generations_with_receipts_carry_only_what_is_new(capsys: pytest.CaptureFixture[str]):
    HQ.push(a=plugin("a1"), b=plugin("b1"))
    HQ.export("1.tar")
    assert SHIP.imports("1.tar") == 0
    HQ.push(a=plugin("a2"), c=plugin("c1"))
    HQ.export("2.tar", "--since", SHIP.receipt("1.receipt"))
    assert names_in("2.tar", capsys) == {"contiv/a:1.0", "contiv/c:1.0"}
    assert SHIP.imports("2.tar") == 0
    HQ.push(b=plugin("b2"))
    HQ.export("3.tar", "--since", SHIP.receipt("2.receipt"))
    assert names_in("3.tar", capsys) == {"contiv/b:1.0"}
    assert SHIP.imports("3.tar") == 0
    assert SHIP.contents() == HQ.contents()


def test_a_lost_bundle_does_no_harm_with_receipts(capsys: pytest.CaptureFixture[str]):
    HQ.push(a=plugin("a1"), b=plugin("b1"))
    HQ.export("1.tar")
    assert SHIP.imports("1.tar") == 0
    receipt = SHIP.receipt("1.receipt")
    HQ.push(a=plugin("a2"))
    HQ.export("lost.tar", "--since", receipt)
    HQ.push(b=plugin("b2"))
    HQ.export("3.tar", "--since", receipt)
    assert names_in("3.tar", capsys) == {"contiv/a:1.0", "contiv/b:1.0"}
    assert SHIP.imports("3.tar") == 0
    assert SHIP.contents() == HQ.contents()
    # The lost bundle is found at last. It is older than what is here.
    assert SHIP.imports("lost.tar") == 1
    assert "is older than" in capsys.readouterr().err
    assert SHIP.contents() == HQ.contents()


def test_what_a_lost_bundle_had_is_named_before_anything_is_written(capsys: pytest.CaptureFixture[str]):
    lost = plugin("a2")
    HQ.push(a=plugin("a1"), b=plugin("b1"))
    HQ.export("1.tar")
    assert SHIP.imports("1.tar") == 0
    HQ.push(a=lost)
    HQ.export("lost.tar", "--since", "1")
    HQ.push(b=plugin("b2"), again=lost)
    HQ.export("3.tar", "--since", "2")
    assert names_in("3.tar", capsys) == {"contiv/b:1.0", "contiv/again:1.0"}
    before = SHIP.contents()
    assert SHIP.imports("3.tar") == 1
    refusal = capsys.readouterr().err
    assert str(lost[0].digest) in refusal
    assert "contiv/again:1.0" in refusal
    assert SHIP.contents() == before
    assert SHIP.imports("lost.tar") == 0
    assert SHIP.imports("3.tar") == 0
    assert SHIP.contents() == HQ.contents()


def test_a_delta_to_a_lost_bundle_is_refused_also_if_it_needs_nothing_of_it(capsys: pytest.CaptureFixture[str]):
    HQ.push(a=plugin("a1"))
    HQ.export("1.tar")
    assert SHIP.imports("1.tar") == 0
    HQ.push(a=plugin("a2"))
    HQ.export("lost.tar", "--since", "1")
    HQ.push(b=plugin("b1"))
    HQ.export("3.tar", "--since", "2")
    before = SHIP.contents()
    assert SHIP.imports("3.tar", "--dry-run") == SHIP.imports("3.tar") == 1
    assert "import the bundles up to 2 first, or have one made with --since 1" in capsys.readouterr().err
    assert SHIP.contents() == before
    assert SHIP.imports("lost.tar") == 0
    assert SHIP.imports("3.tar") == 0
    assert SHIP.contents() == HQ.contents()


def test_a_receipt_of_another_store_is_told(capsys: pytest.CaptureFixture[str]):
    HQ.push(a=plugin("a1"))
    HQ.export("full.tar")
    HQ.export("empty.tar", "--since", HQ.receipt("hq.receipt"))
    assert SHIP.imports("empty.tar") == 0
    assert "if another store wrote that receipt, have a full bundle made" in capsys.readouterr().err


def test_a_new_receipt_helps_after_a_loss():
    lost = plugin("a2")
    HQ.push(a=plugin("a1"))
    HQ.export("1.tar")
    assert SHIP.imports("1.tar") == 0
    HQ.push(a=lost)
    HQ.export("lost.tar", "--since", "1")
    HQ.push(again=lost)
    HQ.export("3.tar", "--since", "2")
    assert SHIP.imports("3.tar") == 1
    HQ.export("4.tar", "--since", SHIP.receipt("1.receipt"))
    assert SHIP.imports("4.tar") == 0
    assert SHIP.contents() == HQ.contents()


def test_a_sender_from_a_backup_goes_on_after_the_receipt():
    sender, receiver, restored = Site("sender"), Site("receiver"), Site("restored")
    sender.push(one=plugin("one"))
    sender.export("1.tar", "--stream", "s")
    shutil.copytree("sender", "restored")
    sender.push(two=plugin("two"))
    sender.export("2.tar")
    assert [receiver.imports("1.tar"), receiver.imports("2.tar")] == [0, 0]
    restored.push(three=plugin("three"))
    restored.export("3.tar", "--since", receiver.receipt("r"))
    assert receiver.imports("3.tar") == 0
    assert receiver.contents() == sender.contents() | restored.contents()


def test_another_file_is_not_taken_for_a_receipt(capsys: pytest.CaptureFixture[str]):
    HQ.push(a=plugin("a1"))
    HQ.export("1.tar")
    for file in ("1.tar", "absent.receipt"):
        assert run(["bundle", "export", "-o", "2.tar", "--all", "--unsigned", "--data", "hq", "--since", file]) in {
            1,
            2,
        }
        assert file in capsys.readouterr().err
    assert not Path("2.tar").exists()


def test_deltas_go_in_both_directions(capsys: pytest.CaptureFixture[str]):
    HQ.push(a=plugin("a1"))
    HQ.export("down1.tar")
    assert SHIP.imports("down1.tar") == 0
    SHIP.push(own=plugin("own1"))
    SHIP.export("up1.tar", "--since", HQ.receipt("hq1.receipt"))
    assert names_in("up1.tar", capsys) == {"contiv/own:1.0"}
    assert HQ.imports("up1.tar") == 0
    HQ.push(a=plugin("a2"))
    HQ.export("down2.tar", "--since", SHIP.receipt("ship1.receipt"))
    assert names_in("down2.tar", capsys) == {"contiv/a:1.0"}  # and not what came from there
    assert SHIP.imports("down2.tar") == 0
    SHIP.push(own=plugin("own2"))
    SHIP.export("lost.tar", "--since", HQ.receipt("hq2.receipt"))
    SHIP.push(more=plugin("more"))
    SHIP.export("up3.tar", "--since", HQ.receipt("hq3.receipt"))
    assert names_in("up3.tar", capsys) == {"contiv/own:1.0", "contiv/more:1.0"}
    assert HQ.imports("up3.tar") == 0
    assert SHIP.contents() == HQ.contents()


@pytest.mark.parametrize("by_receipt", [True, False])
def test_a_name_that_goes_forth_and_back_again_arrives_there(by_receipt: bool):
    first = plugin("a1")
    HQ.push(a=first)
    HQ.export("1.tar")
    assert SHIP.imports("1.tar") == 0
    since = SHIP.receipt("1.receipt") if by_receipt else "1"
    HQ.push(a=plugin("a2"))
    HQ.export("2.tar", "--since", since)
    HQ.push(a=first)
    HQ.export("3.tar", "--since", since)  # before anybody knows whether bundle 2 arrives
    assert SHIP.imports("2.tar") == 0
    assert SHIP.imports("3.tar") == 0
    assert SHIP.contents() == HQ.contents()


def test_names_that_the_receiver_has_renamed_do_not_come_again(capsys: pytest.CaptureFixture[str]):
    HQ.push(a=plugin("a1"), b=plugin("b1"))
    HQ.export("1.tar")
    assert SHIP.imports("1.tar", "--map", "contiv/*=site/*") == 0
    HQ.push(b=plugin("b2"))
    HQ.export("2.tar", "--since", SHIP.receipt("1.receipt"))
    assert names_in("2.tar", capsys) == {"contiv/b:1.0"}
    assert SHIP.imports("2.tar", "--map", "contiv/*=site/*") == 0
    assert [*SHIP.contents().values()] == [*HQ.contents().values()]


def test_content_under_another_name_comes_without_its_bytes(capsys: pytest.CaptureFixture[str]):
    held = plugin("a1", HOP_BYTES)
    HQ.push(a=held)
    HQ.export("1.tar")
    assert SHIP.imports("1.tar") == 0
    HQ.push(renamed=held)
    HQ.export("2.tar", "--since", SHIP.receipt("1.receipt"))
    assert shown("2.tar", capsys)["size_bytes"] < HOP_BYTES / 10
    assert SHIP.imports("2.tar") == 0
    assert SHIP.contents() == HQ.contents()


def test_an_empty_delta_is_at_most_64_kib_and_one_of_a_changed_plugin_adds_its_blobs(
    capsys: pytest.CaptureFixture[str], whole: bool
):
    """In ``make matrix``, with 200 plugins."""
    count = 200 if whole else 30
    HQ.push(**{f"plugin-{number}": plugin(f"plugin {number}") for number in range(count)})
    asyncio.run(_push_index())
    HQ.export("1.tar")
    receipt = HQ.receipt("1.receipt")  # as that of a receiver who holds everything
    for number, base in enumerate((receipt, "1")):
        HQ.export(f"empty-{number}.tar", "--since", base)
        assert names_in(f"empty-{number}.tar", capsys) == set()
        assert Path(f"empty-{number}.tar").stat().st_size <= 64 * 1024
    changed, blobs = plugin("changed", 2 * HOP_BYTES)
    HQ.push(**{"plugin-7": (changed, blobs)})
    HQ.export("changed.tar", "--since", receipt)
    needed = changed.size_bytes + sum(map(len, blobs))
    assert Path("changed.tar").stat().st_size <= needed * 1.01


async def _push_index() -> None:
    """Push an index that lacks many members, and a referrer to it."""
    name = Repository("library/tool")
    config, layer = b'{"one":1}', b"layer of one"
    member = manifest_of({"config": _described(config), "layers": [_described(layer)]})
    members = [replace(member.descriptor, platform={"os": "linux", "architecture": "amd64"})]
    for number in range(400):
        digest = Digest.of(b"%d" % number)
        platform = {"os": "linux", "architecture": f"arch{number}"}
        members.append(Descriptor(member.media_type, digest, 500, platform=platform))
    whole = index(*members)
    absent = [AbsentContent(whole.digest, each.digest, AbsenceReason.PLATFORM, "linux/other") for each in members[1:]]
    referrer = manifest_of({"config": _described(config), "layers": [], "subject": whole.descriptor.to_json()})
    async with Store.open(Path(HQ.name)) as store:
        await hold(store, name, [config, layer], [member])
        await store.records.absent.record_absent(name, whole.digest, absent)
        await store.put_manifest(name, whole, [Tag("1")])
        await store.put_manifest(name, referrer)


def _described(content: bytes) -> dict[str, object]:
    return Descriptor("application/octet-stream", Digest.of(content), len(content)).to_json()


def test_members_of_an_index_that_the_receiver_lacks_come_with_a_later_delta(capsys: pytest.CaptureFixture[str]):
    name, config = Repository("library/tool"), b"{}"
    parts = [
        manifest_of({"config": _described(config), "layers": [], "annotations": {"architecture": architecture}})
        for architecture in ("amd64", "arm64")
    ]
    whole = index(
        *(
            replace(part.descriptor, platform={"os": "linux", "architecture": part.annotations["architecture"]})
            for part in parts
        )
    )

    async def push() -> None:
        async with Store.open(Path(HQ.name)) as store:
            await hold(store, name, [config], [*parts, whole], "1")

    asyncio.run(push())
    HQ.export("1.tar", "--platform", "linux/amd64")
    assert SHIP.imports("1.tar") == 0
    HQ.export("2.tar", "--since", SHIP.receipt("1.receipt"), "--platform", "linux/amd64")
    assert names_in("2.tar", capsys) == set()
    HQ.export("3.tar", "--since", SHIP.receipt("2.receipt"))
    assert names_in("3.tar", capsys) == {"library/tool:1"}
    assert SHIP.imports("3.tar") == 0

    async def arm64() -> Manifest:
        async with Store.open(Path(SHIP.name)) as store:
            return await store.get_manifest(name, parts[1].digest)

    assert asyncio.run(arm64()) == parts[1]
