"""Tables and lists: no cell is ever cut, at any width of a terminal, and each row is one line in a pipe."""

from __future__ import annotations

import asyncio
import io
import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mirror.access.user_accounts import create_token
from mirror.cli.command_line import run
from mirror.cli.terminal.output import Output
from mirror.cli.terminal.tables import print_table
from mirror.oci import Repository, Tag
from mirror.records.lifecycle.pins import Pin
from mirror.records.users import User
from mirror.runtime.clock import SystemClock
from mirror.store.registry import Store
from tests.support.builders import hold, plugin
from tests.support.terminal_output import at_terminal, without_styles

NAME = "an-organisation-with-a-long-name/a-network-driver-with-a-long-name"
TAGS = [f"1.0.0-beta.{number}-for-a-distribution-of-linux" for number in range(12)]
PURPOSE = "pulls [all] plugins for the hosts of the data centre in Zürich, and pushes none of them"
CONFIG = """
storage: {path: data}
upstreams: {hub: {url: 'https://registry-1.docker.io'}}
mirrors: [{name: a-rule-with-quite-a-long-name-for-a-plugin, from: hub/contiv/v2plugin, to: contiv/v2plugin}]
quotas: [{pattern: 'an-organisation-with-a-long-name/**', bytes: 200GiB, manifests: 4000}]
events: [{url: 'https://an-endpoint-with-a-long-name.example/hooks', secret_file: secret}]
"""
#: Each list, with texts that it must show in full.
LISTS: list[tuple[list[str], list[str]]] = [
    (["ls"], [NAME]),
    (["ls", NAME], [*TAGS, "plugin"]),
    (["user", "ls"], ["anna", "TOKENS"]),
    (["token", "ls"], ["anna", PURPOSE]),
    (["status"], ["a-rule-with-quite-a-long-name-for-a-plugin", "FROM", "UPSTREAM"]),
    (["quota", "ls"], ["an-organisation-with-a-long-name/**", "200.0 GiB", "4000"]),
    (["events", "ls"], ["an-endpoint-with-a-long-name.example", "PROBLEM"]),
    (["stats"], [NAME, "OWN"]),
    (["pins", "ls"], [f"{NAME}:{TAGS[0]}", PURPOSE]),
]


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(CONFIG)
    monkeypatch.setenv("PLUGIN_MIRROR_CONFIG", "c.yaml")

    async def fill() -> None:
        now = SystemClock().now()
        async with Store.open(tmp_path / "data") as opened:
            await hold(opened, Repository(NAME), [b"{}", b"x" * 2048], [plugin(b"{}", b"x" * 2048)], *TAGS)
            await opened.records.users.add_user(User("anna", "no hash", now))
            await create_token(opened.records.users, "anna", PURPOSE, timedelta(days=90))
            await opened.records.pins.pin(Pin(Repository(NAME), Tag(TAGS[0]), "anna", now, PURPOSE))

    asyncio.run(fill())


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize(("command", "texts"), LISTS, ids=[" ".join(command) for command, _ in LISTS])
def test_no_list_cuts_anything_on_a_terminal(command: list[str], texts: list[str], columns: int) -> None:
    code, screen = at_terminal(columns, *command)
    assert code == 0
    shown = without_styles(screen)
    # A wrapped cell goes on in the next line, and the cells beside it end there.
    together = re.sub(r"\s", "", shown)
    assert [text for text in texts if re.sub(r"\s", "", text) not in together] == []
    assert "…" not in shown


@pytest.mark.parametrize(("command", "texts"), LISTS, ids=[" ".join(command) for command, _ in LISTS])
def test_each_row_is_one_line_in_a_pipe(
    command: list[str], texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command) == 0
    shown = capsys.readouterr().out
    assert [text for text in texts if text not in shown] == []
    assert "\x1b" not in shown
    assert [line for line in shown.splitlines() if line != line.rstrip()] == []


def test_a_digest_is_whole_in_a_pipe_and_wrapped_on_a_narrow_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ls", NAME, "--json"]) == 0
    digest = json.loads(capsys.readouterr().out)[0]["digest"]
    assert run(["ls", NAME]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(TAGS)
    assert all(line.endswith(digest) for line in lines[1:])
    _, screen = at_terminal(100, "ls", NAME)
    assert max(map(len, without_styles(screen).splitlines())) <= 100
    assert digest in re.sub(r"\s", "", screen)


def test_a_terminal_shows_some_tags_of_each_repository_and_a_pipe_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ls"]) == 0
    assert all(tag in capsys.readouterr().out for tag in [TAGS[-1]])
    assert "and 4 more" in re.sub(r"\s+", " ", at_terminal(80, "ls")[1])


def test_no_color_leaves_no_colours() -> None:
    assert "\x1b[" in at_terminal(80, "ls")[1]  # headings are bold
    coloured = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|9[0-7])")
    assert coloured.search(at_terminal(80, "inspect", f"{NAME}:{TAGS[0]}", environment={"NO_COLOR": "1"})[1]) is None


def printed(width: int | None, headings: list[str], rows: list[list[str]], wrap: list[str]) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=width is not None, width=width or 80, color_system=None)
    print_table(Output(console=console), headings, rows, wrap=wrap)
    return stream.getvalue().splitlines()


def test_the_least_important_column_gives_way_first() -> None:
    rows = [["a-tag", "three words here", "sha256:" + "0" * 64]]
    assert printed(60, ["TAG", "WORDS", "DIGEST"], rows, ["DIGEST", "WORDS"]) == [
        "TAG    WORDS             DIGEST",
        f"a-tag  three words here  sha256:{'0' * 28}",
        f"                         {'0' * 35}",
        "                         0",
    ]
    assert printed(40, ["TAG", "WORDS", "DIGEST"], rows, ["DIGEST", "WORDS"])[1:] == [
        f"a-tag  three    sha256:{'0' * 17}",
        f"       words    {'0' * 24}",
        f"       here     {'0' * 23}",
    ]


def test_words_stay_whole_if_a_table_does_not_fit_anyway() -> None:
    rows = [["a" * 30, "sha256:" + "0" * 64]]
    assert printed(40, ["NAME", "DIGEST"], rows, ["DIGEST"])[1] == "  ".join(rows[0])


cells = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C", "M"]), min_size=1, max_size=60)


@given(st.lists(st.lists(cells, min_size=2, max_size=2), min_size=1, max_size=4), st.integers(20, 100))
def test_no_cell_is_lost_at_any_width(rows: list[list[str]], width: int) -> None:
    assert [line.split() for line in printed(None, ["A", "B"], rows, ["B"])[1:]] == rows
    shown = "".join("".join(printed(width, ["A", "B"], rows, ["B"])).split())
    assert shown == "AB" + "".join(first + second for first, second in rows)
