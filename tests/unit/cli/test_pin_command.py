"""``plugin-mirror pin``, ``unpin``, ``pins ls``, and what ``gc`` and ``tag`` tell about kept tags."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mirror.cli.command_line import run
from mirror.oci import Manifest, Repository, Tag
from mirror.runtime.clock import SystemClock
from mirror.store.registry import Store
from tests.support.builders import push_image

HERE = Repository("acme/app")
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Later:
    """A clock that is behind the machine's."""

    def __init__(self, ago: timedelta) -> None:
        self._ago = ago

    def now(self) -> datetime:
        return datetime.now(UTC) - self._ago

    def monotonic_seconds(self) -> float:
        return SystemClock().monotonic_seconds()


@pytest.fixture(autouse=True)
def pushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Manifest]:
    """A data folder with two tags that were pushed 40 days ago."""
    monkeypatch.chdir(tmp_path)

    async def push() -> list[Manifest]:
        async with Store.open(tmp_path / "data", clock=Later(timedelta(days=40))) as store:
            return [await push_image(store, tag, tag, repository=HERE) for tag in ("1.0", "2.0")]

    return asyncio.run(push())


def configure(**section: object) -> None:
    Path("config.yaml").write_text(json.dumps({"repositories": [{"pattern": "acme/*", **section}]}))


def test_a_pin_is_listed_with_who_and_why(capsys, monkeypatch):
    monkeypatch.setattr(SystemClock, "now", lambda _: NOW)
    assert run(["pin", "acme/app:1.0", "--note", "engine\x1b[2J 1.13", "--by", "anna"]) == 0
    monkeypatch.setattr(SystemClock, "now", lambda _: NOW + timedelta(hours=3))
    assert run(["pins", "ls"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "acme/app:1.0 is pinned",
        "NAME          PINNED   BY    NOTE",
        "acme/app:1.0  3 h ago  anna  engine?[2J 1.13",
    ]


def test_pins_are_given_to_programs(pushed, capsys, monkeypatch):
    monkeypatch.setattr("mirror.cli.storage.pin_command.os_user_name", lambda: "root")
    monkeypatch.setattr(SystemClock, "now", lambda _: NOW)
    target = f"acme/app@{pushed[0].digest}"
    shown = {
        "name": "acme/app",
        "tag": None,
        "digest": str(pushed[0].digest),
        "by": "root",
        "at": "2026-11-24T12:00:00Z",
        "note": "",
    }
    assert run(["pin", target, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == shown
    assert run(["pins", "ls", "acme/app", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [shown]
    assert run(["unpin", target, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == shown


def test_without_pins_there_is_a_sentence(capsys):
    assert run(["pins", "ls"]) == 0
    assert capsys.readouterr() == ("", "nothing is pinned\n")


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("pin acme/app:absent", 1, "acme/app has no tag absent"),
        ("pin other/app:1.0", 1, "other/app has no tag 1.0"),
        ("unpin acme/app:1.0", 1, "acme/app has no pin of 1.0"),
        ("pin registry.example/acme/app:1.0", 2, "is in another registry"),
        ("pin acme/app:1.0 --data absent", 2, "no data folder"),
    ],
)
def test_a_pin_that_cannot_be_set_is_one_line(command: str, code: int, told: str, capsys):
    assert run(command.split()) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert told in line


def test_gc_drops_what_no_retention_keeps_and_a_dry_run_only_shows_it(pushed, capsys):
    configure(keep={"newest": 1})
    line = "acme/app:1.0 would be dropped: not among the newest 1"
    for _ in range(2):
        assert run(["gc", "--dry-run", "--grace", "0s", "--config", "config.yaml"]) == 0
        shown = capsys.readouterr().out.splitlines()
        assert shown[:2] == [line, "1 tag would be dropped by retention"]
        assert shown[2].startswith("3 files would be removed")
    assert run(["gc", "--grace", "0s", "--json", "--config", "config.yaml"]) == 0
    found = json.loads(capsys.readouterr().out)
    (gone,) = found["dropped_tags"]
    assert (gone["name"], gone["tag"], gone["digest"]) == ("acme/app", "1.0", str(pushed[0].digest))
    assert found["freed"]["files"] == 3
    assert run(["ls", "acme/app", "--json"]) == 0
    assert "1.0" not in json.loads(capsys.readouterr().out)


def test_gc_says_why_tags_are_not_dropped_yet(capsys):
    configure(keep={"pulled_within": "30d"})
    assert run(["gc", "--dry-run", "--config", "config.yaml"]) == 0
    told = "note: repositories acme/* keep all tags: no server with this configuration has recorded pulls yet"
    assert told in capsys.readouterr().err


def test_gc_says_until_when_untagged_manifests_stay(capsys):
    async def untag() -> None:
        async with Store.open(Path("data"), clock=Later(timedelta(days=10))) as store:
            await store.delete_tag(HERE, Tag("1.0"))

    asyncio.run(untag())
    assert run(["gc", "--grace", "0s", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    until = datetime.fromisoformat(found["untagged_until"])
    assert timedelta(days=19) < until - datetime.now(UTC) < timedelta(days=20)
    assert found["kept"]["storage.untagged"] == 1
    assert run(["gc", "--grace", "0s"]) == 0
    assert f"1 kept by storage.untagged, the first until {found['untagged_until']}" in capsys.readouterr().out


def test_the_command_tag_does_not_move_an_immutable_tag(capsys):
    configure(immutable=["stable"])
    assert run(["tag", "acme/app:1.0", "acme/app:stable", "--config", "config.yaml"]) == 0
    assert run(["tag", "acme/app:1.0", "acme/app:stable", "--config", "config.yaml"]) == 0
    assert run(["tag", "acme/app:2.0", "acme/app:stable", "--config", "config.yaml"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: acme/app:stable is immutable and points to sha256:")
