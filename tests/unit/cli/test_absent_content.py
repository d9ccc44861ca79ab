"""``ls`` and ``inspect`` of an index of which the store holds a part."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from mirror.cli.command_line import run
from mirror.oci import Digest, Repository, Tag
from mirror.oci.media_types import DOCKER_LAYER_FOREIGN
from mirror.oci.platform_selection import PlatformSelection
from mirror.records.absent_content import AbsenceReason, AbsentContent
from mirror.registry.memory import MemoryRegistry
from mirror.store.registry import Store
from mirror.transfer.copy_engine import copy_graph
from mirror.transfer.graph.content_choice import ContentChoice
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import SilentProgress
from tests.support.builders import described, hold, manifest_of
from tests.support.multi_platform import AMD64, ARM64, BLOBS, IMAGES, INDEX, PROOFS, S390X

NAME, TAG = Repository("library/tool"), Tag("1.0")


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index of which arm64 is gone upstream and s390x is left out, an index that is whole, and an image."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    async def fill() -> None:
        upstream = MemoryRegistry()
        await hold(upstream, NAME, BLOBS, [*IMAGES.values(), *PROOFS.values(), INDEX], TAG.name)
        await upstream.delete_manifest(NAME, IMAGES[ARM64].digest)
        async with Store.open(tmp_path / "data") as opened:
            place = CopyDestination(opened, NAME, absent=opened.records.absent)
            choice = ContentChoice(PlatformSelection.parse([AMD64, ARM64]))
            await copy_graph(CopySource(upstream, NAME), TAG, place, [TAG], SilentProgress(), choice=choice)
            await opened.put_manifest(NAME, IMAGES[AMD64], [Tag("image")])

    asyncio.run(fill())


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run([*arguments]) == 0
    return capsys.readouterr().out


def test_ls_has_one_whole_line_for_each_tag_in_a_narrow_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = output(capsys, "ls", NAME.name)
    rows = json.loads(output(capsys, "ls", NAME.name, "--json"))
    for row in rows:
        (line,) = [line for line in shown.splitlines() if line.startswith(f"{row['tag']} ")]
        assert row["digest"] in line.split()


def test_ls_shows_the_platforms(capsys: pytest.CaptureFixture[str]) -> None:
    shown = output(capsys, "ls", NAME.name)
    assert "\n1.0: linux/amd64; without linux/arm64 (gone upstream), linux/s390x (platform)\n" in shown
    rows = {row["tag"]: row for row in json.loads(output(capsys, "ls", NAME.name, "--json"))}
    assert rows["image"].keys() & {"platforms", "absent"} == set()
    assert {(each["detail"], each["reason"]) for each in rows["1.0"]["absent"]} == {
        (ARM64, "gone upstream"),
        (S390X, "platform"),
    }


def test_inspect_shows_the_platforms_and_why_others_are_absent(capsys: pytest.CaptureFixture[str]) -> None:
    shown = output(capsys, "inspect", f"{NAME}:1.0")
    assert "  Platforms:     linux/amd64" in shown
    assert f"linux/arm64 ({IMAGES[ARM64].digest}) is gone upstream\n" in shown
    assert f"linux/s390x ({IMAGES[S390X].digest}) is left out by the setting platforms\n" in shown
    found = json.loads(output(capsys, "inspect", f"{NAME}:1.0", "--json"))
    assert found["platforms"] == [AMD64]
    assert {each["digest"] for each in found["absent"]} == {
        str(manifest.digest) for manifest in (IMAGES[ARM64], IMAGES[S390X], PROOFS[S390X])
    }


def test_inspect_shows_foreign_layers_that_were_pushed_without_content(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    layer = described(DOCKER_LAYER_FOREIGN, b"elsewhere")
    config = IMAGES[AMD64].config
    assert config is not None
    pushed = manifest_of({"config": config.to_json(), "layers": [layer.to_json()]})

    async def push() -> None:
        async with Store.open(tmp_path / "data") as opened:
            await opened.put_manifest(NAME, pushed, [Tag("foreign")])

    asyncio.run(push())
    shown = output(capsys, "inspect", f"{NAME}:foreign")
    assert f"the foreign layer {layer.digest} is not here\n" in shown


def test_tag_keeps_what_is_absent(capsys: pytest.CaptureFixture[str]) -> None:
    output(capsys, "tag", f"{NAME}:1.0", "site/tool:stable")
    found = json.loads(output(capsys, "inspect", "site/tool:stable", "--json"))
    assert {each["reason"] for each in found["absent"]} == {"gone upstream", "platform"}


def test_inspect_of_an_index_shows_foreign_layers_that_its_images_lack(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    layer, image = Digest.of(b"elsewhere"), IMAGES[AMD64].digest

    async def lack() -> None:
        async with Store.open(tmp_path / "data") as opened:
            lacks = AbsentContent(image, layer, AbsenceReason.FOREIGN, "upstream")
            await opened.records.absent.record_absent(NAME, image, [lacks])

    asyncio.run(lack())
    shown = output(capsys, "inspect", f"{NAME}:1.0")
    assert f"the foreign layer {layer} is left out (foreign_layers: upstream)\n" in shown
