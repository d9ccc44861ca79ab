"""``rm`` on the command line: what it deletes, says and asks."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from pathlib import Path

import pytest

from mirror.cli.command_line import run
from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import NotFound
from mirror.registry.listing import all_repositories, all_tags
from mirror.store.registry import Store
from tests.support.builders import index, push_blob, push_image

NAME = Repository("acme/driver")
CONFIGURED = """
upstreams:
  hub: {url: "https://registry-1.docker.io"}
mirrors:
  - {name: drivers, from: "hub/acme/*", to: "acme/*", tags: {include: ["1.*"]}}
proxy:
  - {from: "hub/**", to: "**"}
"""


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def images() -> dict[str, Manifest]:
    """Images in the store by their tags: ``latest`` is ``1.0``, and the members of ``multi`` have no tag."""
    async with Store.open(Path("data")) as store:
        first = await push_image(store, "first", "1.0", "latest", repository=NAME)
        second = await push_image(store, "second", "2.0", repository=NAME)
        member = await push_image(store, "member", repository=NAME)
        multi = index(member.descriptor)
        await store.put_manifest(NAME, multi, [Tag("multi")])
        await push_blob(store, b"pushed alone", Repository("acme/other"))
    return {"1.0": first, "2.0": second, "member": member, "multi": multi}


def tags() -> list[str]:
    """Return the tags of the repository."""

    async def read() -> list[str]:
        async with Store.open(Path("data")) as store:
            return [tag.name async for tag in all_tags(store, NAME)]

    return asyncio.run(read())


def repositories() -> list[str]:
    async def read() -> list[str]:
        async with Store.open(Path("data")) as store:
            return [name.name async for name in all_repositories(store)]

    return asyncio.run(read())


def holds(digest: Digest) -> bool:
    """Return True if the repository has a manifest."""

    async def read() -> bool:
        async with Store.open(Path("data")) as store:
            try:
                await store.resolve(NAME, digest)
            except NotFound:
                return False
            return True

    return asyncio.run(read())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_tag_is_deleted_and_what_another_tag_keeps_is_named(
    images: dict[str, Manifest], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["rm", "acme/driver:1.0"]) == 0
    assert tags() == ["2.0", "latest", "multi"]
    out, err = capsys.readouterr()
    assert out == "acme/driver:1.0 deleted\n"
    assert f"acme/driver@{images['1.0'].digest} stays: latest is it too" in err


def test_content_without_another_tag_is_told_to_stay_for_a_time(
    images: dict[str, Manifest], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["rm", "acme/driver:2.0"]) == 0
    content = f"acme/driver@{images['2.0'].digest}"
    err = capsys.readouterr().err
    assert f"{content} can still be pulled by its digest for 30d (storage.untagged)" in err
    assert f"fix: 'plugin-mirror rm {content}' deletes it at once" in err
    assert holds(images["2.0"].digest)
    assert run(["rm", content]) == 0
    assert not holds(images["2.0"].digest)


def test_a_digest_goes_with_all_its_tags(images: dict[str, Manifest], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rm", f"acme/driver@{images['1.0'].digest}"]) == 0
    assert tags() == ["2.0", "multi"]
    out, err = capsys.readouterr()
    assert out == f"acme/driver@{images['1.0'].digest} deleted, with its tags 1.0, latest\n"
    assert "blobs that nothing else needs are removed after 1d; fix: 'plugin-mirror gc --grace 0s'" in err


def test_a_part_of_an_index_is_not_deleted_without_the_index(
    images: dict[str, Manifest], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["rm", f"acme/driver@{images['member'].digest}"]) == 1
    assert f"is part of acme/driver@{images['multi'].digest}" in capsys.readouterr().err


def test_a_dry_run_changes_nothing(images: dict[str, Manifest], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rm", "--dry-run", "acme/driver:1.0", "acme/driver", f"acme/driver@{images['2.0'].digest}"]) == 0
    assert tags() == ["1.0", "2.0", "latest", "multi"]
    assert capsys.readouterr().out == (
        "acme/driver:1.0 would be deleted\n"
        "acme/driver would be deleted: 4 tags, 4 manifests, 6 blobs\n"
        f"acme/driver@{images['2.0'].digest} would be deleted, with its tags 2.0\n"
    )


@pytest.mark.usefixtures("images")
def test_a_whole_repository_goes_with_everything_in_it() -> None:
    assert run(["rm", "--yes", "acme/driver"]) == 0
    assert repositories() == ["acme/other"]
    assert run(["gc", "--grace", "0s"]) == 0
    files = [file for file in Path("data/blobs").rglob("*") if file.is_file()]
    assert files == []


@pytest.mark.usefixtures("images")
def test_without_a_terminal_a_whole_repository_needs_yes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rm", "acme/driver"]) == 2
    assert "fix: add --yes, or name a tag, such as acme/driver:latest" in capsys.readouterr().err
    assert len(tags()) == 4


@pytest.mark.parametrize(("answer", "is_left", "code"), [("y\n", False, 0), ("n\n", True, 1), ("\n", True, 1)])
@pytest.mark.usefixtures("images")
def test_a_terminal_is_asked_about_a_whole_repository(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, is_left: bool, code: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert run(["rm", "acme/driver"]) == code
    assert "acme/driver has 4 tags, 4 manifests, 6 blobs" in capsys.readouterr().err
    assert (NAME.name in repositories()) == is_left


@pytest.mark.usefixtures("images")
def test_what_a_rule_or_pull_through_brings_again_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mirror.yaml").write_text(CONFIGURED)
    assert run(["rm", "-c", "mirror.yaml", "acme/driver:1.0", "acme/driver:2.0"]) == 0
    err = capsys.readouterr().err
    assert err.count("mirror rule drivers will bring acme/driver:1.0 again at its next run") == 1  # it selects 1.*
    for name in ("acme/driver:1.0", "acme/driver:2.0"):
        assert f"{name} will be pulled through again from hub/acme/driver when somebody asks for it" in err


def test_the_same_note_about_many_names_is_told_once(
    images: dict[str, Manifest], capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"acme/driver@{images[tag].digest}" for tag in ("1.0", "2.0")]
    assert run(["rm", *names]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert err.count("blobs that nothing else needs are removed after") == 1


@pytest.mark.usefixtures("images")
def test_what_is_not_there_is_named_and_the_rest_is_deleted(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rm", "acme/driver:9", "acme/driver:1.0"]) == 1
    assert capsys.readouterr().err.count("error: acme/driver has no tag 9; fix: ") == 1
    assert "1.0" not in tags()


@pytest.mark.parametrize("target", [":1.0", "@{}", ""])
@pytest.mark.parametrize("how", [["--yes"], ["--dry-run"]])
def test_an_immutable_tag_is_deleted_neither_alone_nor_with_its_content(
    images: dict[str, Manifest], target: str, how: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mirror.yaml").write_text('repositories: [{pattern: "acme/**", immutable: ["1.*"]}]')
    assert run(["rm", *how, "-c", "mirror.yaml", f"acme/driver{target}".format(images["1.0"].digest)]) == 1
    assert "error: acme/driver:1.0 is immutable; fix: change immutable" in capsys.readouterr().err
    assert tags() == ["1.0", "2.0", "latest", "multi"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hub.example/acme/driver:1.0", "leave hub.example/ out"),
        ("acme/driver:1.0@sha256:" + "a" * 64, "has a tag and a digest"),
        ("Acme/driver", "is not"),
    ],
)
@pytest.mark.usefixtures("images")
def test_a_wrong_name_deletes_nothing(capsys: pytest.CaptureFixture[str], name: str, says: str) -> None:
    assert run(["rm", "acme/driver:1.0", name]) == 2
    assert says in capsys.readouterr().err
    assert len(tags()) == 4


def test_no_data_folder_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rm", "acme/driver:1.0"]) == 2
    assert "no data folder" in capsys.readouterr().err
    assert not Path("data").exists()


def test_programs_get_json(images: dict[str, Manifest], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rm", "--json", "acme/driver:1.0"]) == 0
    (deleted,) = json.loads(capsys.readouterr().out)
    assert deleted["digest"] == str(images["1.0"].digest)
    assert (deleted["name"], deleted["tags"], deleted["other_tags"]) == ("acme/driver:1.0", ["1.0"], ["latest"])
