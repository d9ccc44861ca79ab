"""Tables for people, which never cut a cell.

Without a terminal each row is one line, and columns are aligned, so that ``grep`` works on them.
Programs use ``--json``.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from itertools import zip_longest
from typing import Final

from mirror.cli.output import Output
from mirror.oci.printable_text import printable

#: Columns of a terminal between two columns of a table.
_GAP: Final = "  "
#: A digest or another long word is broken on a terminal, but not into pieces shorter than this.
_LEAST_PIECE: Final = 24


def print_table(
    output: Output,
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    wrap: Sequence[str] = (),
    right: Collection[str] = (),
) -> None:
    """Print a table.

    Args:
        output: the stream to print to.
        headings: heading of each column.
        rows: text of each cell. Control characters are replaced.
        wrap: headings of the columns that give way on a narrow terminal, the least important first.
        right: headings of the columns that are aligned to the right.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(headings, *cells, strict=True)]
    if output.is_terminal:
        _shrink(widths, headings, cells, wrap, output.width)
    is_right = [heading in right for heading in headings]
    for number, row in enumerate((headings, *cells)):
        for line in _lines(row, widths, is_right):
            output.out(line, style=None if number else "bold")


def _shrink(
    widths: list[int], headings: Sequence[str], cells: Sequence[Sequence[str]], wrap: Sequence[str], room: int
) -> None:
    """Make columns narrower until the table fits, or until they have their least width."""
    for heading in wrap:
        over = sum(widths) + len(_GAP) * (len(widths) - 1) - room
        if over <= 0:
            return
        at = headings.index(heading)
        words = [word for row in (headings, *cells) for word in row[at].split()]
        least = min(max(map(_width, words), default=0), _LEAST_PIECE)
        widths[at] = max(widths[at] - over, least)


def _lines(row: Sequence[str], widths: Sequence[int], is_right: Sequence[bool]) -> Iterable[str]:
    """Return the lines of a row: one, unless a cell is wider than its column."""
    columns = [
        [cell] if _width(cell) <= width else textwrap.wrap(cell, width, break_on_hyphens=False)
        for cell, width in zip(row, widths, strict=True)
    ]
    for pieces in zip_longest(*columns, fillvalue=""):
        padded = [
            " " * (width - _width(piece)) + piece if right else piece + " " * (width - _width(piece))
            for piece, width, right in zip(pieces, widths, is_right, strict=True)
        ]
        yield _GAP.join(padded).rstrip()


def _width(text: str) -> int:
    """Return the number of columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )
