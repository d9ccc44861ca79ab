"""``plugin-mirror admission``."""

from __future__ import annotations

import asyncio
import getpass
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mirror.cli.application import run
from mirror.oci.digest import Digest
from mirror.oci.names import Repository
from mirror.plugin.policy import Action, Verdict
from mirror.registry.admissions import Admission
from mirror.store.registry import Store
from tests.contract.contents import push_image

HERE, ABSENT = Repository("acme/driver"), Digest.of(b"absent")


@pytest.fixture(autouse=True)
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Digest:
    """A data folder with one plugin that is held."""
    monkeypatch.chdir(tmp_path)

    async def make() -> Digest:
        async with Store.open(tmp_path / "data") as store:
            digest = (await push_image(store, "a plugin", "1.0", repository=HERE)).digest
            await note(store, digest, Action.HOLD)
            return digest

    return asyncio.run(make())


async def note(store: Store, digest: Digest, action: Action) -> None:
    verdict = Verdict(action, "a-rule", "asks for mount: /")
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    await store.note_verdict(Admission(HERE, digest, now, verdict, (("mount", "/"),), (("mount", "/\x1b[2J"),)))


def test_what_is_held_is_listed_with_the_reason(held: Digest, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["admission", "ls"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"acme/driver@{held}  (1.0)",
        "  held since 2026-11-24 12:00 UTC, a-rule: it asks for mount: /",
        "  + mount: /?[2J",
    ]
    assert run(["admission", "ls", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["name"], one["digest"], one["state"], one["rule"]) == ("acme/driver", str(held), "held", "a-rule")


def test_a_decision_is_shown_with_who_and_why(held: Digest, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["admission", "approve", "acme/driver:1.0", "--by", "alice", "--note", "ticket 1"]) == 0
    assert f"acme/driver@{held} was approved by alice on " in capsys.readouterr().out
    assert run(["admission", "ls"]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "no plugin is held\n")
    assert run(["admission", "ls", "--state", "approved"]) == 0
    assert ", by alice: ticket 1\n" in capsys.readouterr().out
    assert run(["admission", "reject", f"acme/driver@{held}", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["state"], one["decided_by"]) == ("rejected", getpass.getuser())
    assert run(["admission", "ls", "--all"]) == 0
    assert "  rejected since " in capsys.readouterr().out


def test_approving_what_the_policy_denies_is_a_no(held: Digest, capsys: pytest.CaptureFixture[str]) -> None:
    async def deny() -> None:
        async with Store.open(Path("data")) as store:
            await note(store, held, Action.DENY)

    asyncio.run(deny())
    assert run(["admission", "approve", "acme/driver:1.0"]) == 1
    assert capsys.readouterr().out == "acme/driver is denied by the rule 'a-rule': it asks for mount: /\n"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "told"),
    [
        (["approve", "acme/driver:2.0"], 1, "no tag 2.0 of acme/driver is here: name a digest"),
        (["approve", "other.example/acme/driver:1.0"], 2, "is in another registry"),
        (["approve", "Acme"], 2, "is not a repository name"),
        (["approve", "acme/driver:1.0", "--by", " "], 1, "who decides must be named"),
        (["ls", "--state", "lost"], 2, "lost"),
        (["ls", "--data", "nowhere"], 2, "no data folder nowhere"),
        (["approve", f"acme/driver@{ABSENT}", "--data", "nowhere"], 2, "no data folder nowhere"),
    ],
)
def test_a_wrong_command_line_is_told_in_words(
    arguments: list[str], exit_code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["admission", *arguments]) == exit_code
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error
