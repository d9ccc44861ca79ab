"""``plugin-mirror admission``."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mirror.cli.command_line import run
from mirror.oci import Digest, Repository, Tag, media_types
from mirror.plugin.policy.admission_policy import PolicyVerdict
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.records.admission.admissions import Admission
from mirror.runtime.clock import SystemClock
from mirror.runtime.os_user import os_user_name
from mirror.store.registry import Store
from tests.support.admission import ROOT, World
from tests.support.builders import manifest_of, push_blob, push_image
from tests.support.clocks import ShiftedClock

HERE, ABSENT = Repository("acme/driver"), Digest.of(b"absent")


@pytest.fixture(autouse=True)
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Digest:
    """A data folder with one plugin held for a decision."""
    monkeypatch.chdir(tmp_path)

    async def make() -> Digest:
        async with Store.open(tmp_path / "data") as store:
            digest = (await push_image(store, "a plugin", "1.0", repository=HERE)).digest
            await note(store, digest, PolicyAction.HOLD)
            return digest

    return asyncio.run(make())


async def note(store: Store, digest: Digest, action: PolicyAction) -> None:
    verdict = PolicyVerdict(action, "a-rule", "asks for mount: /")
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    asked, grown = (("mount", "/"),), (("mount", "/\x1b[2J"),)
    await store.records.verdicts.note_verdict(
        Admission(HERE, digest, now, verdict, asked=asked, grown=grown), "a policy"
    )


def test_what_is_held_is_listed_with_the_reason(
    held: Digest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SystemClock, "now", lambda _: datetime(2026, 11, 24, 15, tzinfo=UTC))
    assert run(["admission", "ls"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"acme/driver@{held}  (1.0)",
        "  held 3 h ago, a-rule: it asks for mount: /",
        "  + mount: /?[2J",
    ]
    assert run(["admission", "ls", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["name"], one["digest"], one["state"], one["rule"]) == ("acme/driver", str(held), "held", "a-rule")
    assert one["noted_at"] == "2026-11-24T12:00:00Z"


def test_a_decision_is_shown_with_who_and_why(held: Digest, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["admission", "approve", f"acme/driver@{held}", "--by", "alice", "--note", "ticket 1"]) == 0
    assert f"acme/driver@{held} was approved by alice on " in capsys.readouterr().out
    assert run(["admission", "ls"]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "no plugin is held\n")
    assert run(["admission", "ls", "--state", "approved"]) == 0
    assert ", by alice: ticket 1\n" in capsys.readouterr().out
    assert run(["admission", "reject", f"acme/driver@{held}", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["state"], one["decided_by"]) == ("rejected", os_user_name())
    assert run(["admission", "ls", "--all"]) == 0
    assert re.search(r"  rejected (just now|\d+ s ago), by ", capsys.readouterr().out)


def test_what_was_rejected_is_approved_with_a_word_of_its_own(held: Digest, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["admission", "reject", "acme/driver:1.0", "--by", "bob", "--note", "no"]) == 0
    assert run(["admission", "approve", f"other/name@{held}"]) == 1
    told = capsys.readouterr()
    assert f"its content was rejected as acme/driver@{held} by bob on " in told.err.replace("\n", " ")
    assert run(["admission", "approve", "acme/driver:1.0", "--overrule"]) == 2
    assert "--overrule needs a digest" in capsys.readouterr().err
    assert run(["admission", "approve", f"other/name@{held}", "--overrule"]) == 0
    assert run(["admission", "ls", "--state", "rejected"]) == 0
    assert "no plugin is rejected" in capsys.readouterr().err


def test_a_tag_is_approved_with_its_digest(held: Digest, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["admission", "approve", "acme/driver:1.0", "--digest", str(ABSENT)]) == 2
    assert f"points to {held}, not to {ABSENT}" in capsys.readouterr().err.replace("\n", " ")
    assert run(["admission", "approve", "acme/driver:1.0"]) == 2  # there is no terminal
    assert f"plugin-mirror admission approve acme/driver@{held}" in capsys.readouterr().err.replace("\n", " ")
    assert run(["admission", "approve", "acme/driver:1.0", "--digest", str(held)]) == 0
    assert f"acme/driver@{held} was approved by" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("said", "exit_code", "state"), [("y\n", 0, "approved"), ("n\n", 1, "held"), ("\n", 1, "held")]
)
def test_on_a_terminal_a_tag_is_shown_and_asked_about(
    said: str, exit_code: int, state: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    async def push() -> Digest:
        async with Store.open(Path("data")) as store:
            config = await push_blob(store, b'{"Mounts": [{"Source": "/srv"}]}', HERE)
            described = {**config.to_json(), "mediaType": media_types.DOCKER_PLUGIN_CONFIG}
            manifest = manifest_of({"config": described, "layers": []}, media_types.DOCKER_MANIFEST)
            await store.put_manifest(HERE, manifest, [Tag("2.0")])
            await note(store, manifest.digest, PolicyAction.HOLD)
            return manifest.digest

    digest = asyncio.run(push())
    monkeypatch.setattr(sys, "stdin", Terminal(said))
    assert run(["admission", "approve", "acme/driver:2.0"]) == exit_code
    told = capsys.readouterr().err
    assert str(digest) in told
    assert "  - mount: /srv" in told
    assert "Approve it? [y/N]" in told
    assert run(["admission", "ls", "--state", state, "--json"]) == 0
    assert str(digest) in {one["digest"] for one in json.loads(capsys.readouterr().out)}


def test_approving_what_the_policy_denies_is_a_no_also_where_nobody_has_asked_for_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def push() -> Digest:
        async with Store.open(Path("data")) as store:
            world = World(store, ShiftedClock())
            world.follow(None)
            return (await world.push(ROOT))[0].digest

    digest = asyncio.run(push())
    Path("c.yaml").write_text("admission: {rules: [{name: no-root, action: deny, privileges: ['mount=/']}]}\n")
    assert run(["admission", "approve", "--config", "c.yaml", f"acme/driver@{digest}"]) == 1
    told = capsys.readouterr().out.splitlines()[-1]  # the last line, below the log
    assert told == "acme/driver is denied by the rule 'no-root': it asks for mount: /"
    assert run(["admission", "ls", "--config", "c.yaml", "--state", "denied"]) == 0
    assert str(digest) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "exit_code", "told"),
    [
        (["approve", "acme/driver:2.0"], 1, "acme/driver has no tag 2.0 here; fix: name a digest"),
        (["approve", "other.example/acme/driver:1.0"], 2, "is in another registry"),
        (["approve", "Acme"], 2, "is not a repository name"),
        (["approve", f"acme/driver@{ABSENT}", "--by", " "], 1, "must name who decides"),
        (["approve", "acme/driver:1.0", "--digest", "1234"], 2, "1234"),
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
