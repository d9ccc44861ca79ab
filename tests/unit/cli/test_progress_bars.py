import io

import pytest
from rich.console import Console

from mirror.cli.printing import size
from mirror.cli.progress_bars import TagBars
from mirror.cli.terminal.output import Output
from mirror.records.sync_runs import TagOutcome


def lines_of(*, terminal, work):
    stream = io.StringIO()
    with TagBars(Output(console=Console(file=stream, force_terminal=terminal, width=120))) as bars:
        work(bars)
    return stream.getvalue()


def copy_one(bars):
    progress = bars.begin("contiv/v2plugin:1.0")
    progress.expect(3 * 1024 * 1024)
    progress.advance(3 * 1024 * 1024)
    progress.done(TagOutcome.COPIED)


def test_without_a_terminal_a_tag_is_one_line():
    (line,) = lines_of(terminal=False, work=copy_one).splitlines()
    assert line.startswith("contiv/v2plugin:1.0 copied 3.0 MiB in ")
    assert line.endswith("/s)")


def test_on_a_terminal_there_is_a_bar():
    shown = lines_of(terminal=True, work=copy_one)
    assert "━" in shown
    assert "contiv/v2plugin:1.0" in shown


def test_a_long_label_leaves_room_for_bytes_rate_and_time_left():
    stream = io.StringIO()
    with TagBars(Output(console=Console(file=stream, force_terminal=True, color_system=None, width=80))) as bars:
        bars.begin("a-folder/" * 20).expect(3 * 1024 * 1024)
    assert "…" in stream.getvalue()
    assert "0.0/3.0 MiB" in stream.getvalue()
    assert "━━━" in stream.getvalue()


def test_an_unchanged_and_a_failed_tag():
    def work(bars):
        bars.begin("a:1").done(TagOutcome.UNCHANGED)
        bars.begin("a:[2]").done(TagOutcome.FAILED, "the upstream is [gone]")

    assert lines_of(terminal=False, work=work) == "a:1 unchanged\na:[2] failed the upstream is [gone]\n"


def test_several_tags_at_a_time_have_a_line_each_when_they_end():
    def work(bars):
        first, second = bars.begin("a:1"), bars.begin("a:2")
        for progress in (second, first):
            progress.expect(1024)
            progress.advance(1024)
            progress.done(TagOutcome.COPIED, "with 1 referrer(s)")

    lines = lines_of(terminal=False, work=work).splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["a:2", "a:1"]
    assert all(" 1.0 KiB in " in line and line.endswith("), with 1 referrer(s)") for line in lines)


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (25 * 1024**2, "25.0 MiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_sizes_for_people(size_bytes, shown):
    assert size(size_bytes) == shown
