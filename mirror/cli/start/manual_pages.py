"""Manual pages, made from the help of the commands: ``python -m mirror.cli.start.manual_pages DIR``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer

from mirror import __version__
from mirror.cli.start.lazy_commands import CONTEXT, LazyCommand, LazyGroup
from mirror.cli.start.root_group import PROGRAM, root_group

_EXIT_CODES: Final = {
    "0": "Done.",
    "1": "The answer is no: findings, differences or failed checks.",
    "2": "Wrong usage or configuration.",
    "3": "The other side failed: an upstream, an engine or the network.",
    "4": "Interrupted, with nothing lost.",
    "5": "Local trouble: the disk, permissions, or a port in use.",
}


def manual_pages() -> Iterator[tuple[str, str]]:
    """Yield the name of each page and its text in the macros of ``man``: one page for each command and group."""
    root = root_group()
    yield from _pages(root, typer.Context(root, info_name=PROGRAM, **CONTEXT))


def _pages(command: Any, context: typer.Context) -> Iterator[tuple[str, str]]:
    below = list(command.commands.values()) if isinstance(command, LazyGroup) else []
    yield f"{_name(context)}.1", _page(command, context, below)
    for each in below:
        loaded = each.load() if isinstance(each, LazyCommand) else each
        yield from _pages(loaded, typer.Context(loaded, info_name=each.name, parent=context))


def _page(command: Any, context: typer.Context, below: list[Any]) -> str:
    name, summary, *paragraphs = _name(context), *re.split(r"\n\s*\n", command.help)
    lines = [
        f'.TH {_text(name.upper())} 1 "" "{PROGRAM} {__version__}" "Docker plugin mirror"',
        ".nh",  # names, options and paths are not hyphenated
        ".SH NAME",
        rf"{_text(name)} \- {_text(summary).rstrip('.')}",
        ".SH SYNOPSIS",
        rf"\fB{_text(context.command_path)}\fR {_text(' '.join(command.collect_usage_pieces(context)))}",
        ".SH DESCRIPTION",
        _text(summary),
    ]
    for paragraph in paragraphs:
        lines += [".PP", _text(paragraph)]
    records: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
    for parameter in command.get_params(context):
        if (record := parameter.get_help_record(context)) is not None:
            records[parameter.param_type_name].append(record)
    lines += _section("ARGUMENTS", records["argument"])
    lines += _section("OPTIONS", records["option"])
    lines += _section("COMMANDS", [(each.name, each.short_help) for each in below])
    if command.epilog:
        lines += [".SH EXAMPLE", ".nf", _text(command.epilog.removeprefix("Example: ")), ".fi"]
    lines += _section("EXIT STATUS", list(_EXIT_CODES.items()))
    others = [f"{name}-{each.name}" for each in below] or [_name(context.parent)]
    lines += [".SH SEE ALSO", ",\n".join(rf"\fB{_text(other)}\fR(1)" for other in others)]
    return "\n".join(lines) + "\n"


def _section(title: str, entries: list[tuple[str, str]]) -> list[str]:
    lines = [f".SH {title}"] if entries else []
    for term, text in entries:
        lines += [".TP", rf"\fB{_text(term)}\fR", _text(text)]
    return lines


def _name(context: Any) -> str:
    return str(context.command_path).replace(" ", "-")


def _text(text: str) -> str:
    """Return a text as one line that has no meaning to ``man`` but its own."""
    escaped = " ".join(text.split()).replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for file, page in manual_pages():
        (folder / file).write_text(page, encoding="utf-8")
