"""Tables for people, which never cut a cell.

Without a terminal each row is one line, and columns are aligned, so that ``grep`` works on them.
Programs use ``--json``.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from mirror.oci.printable_text import printable

if TYPE_CHECKING:
    from mirror.cli.terminal.output import Output

#: Columns of a terminal between two columns of a table.
_GAP: Final = "  "
#: A digest or another long word is broken if that makes a table fit, but not into pieces shorter than this.
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
        widths = _fitted(widths, headings, cells, wrap, output.width)
    is_right = [heading in right for heading in headings]
    for number, row in enumerate((headings, *cells)):
        for line in _lines(row, widths, is_right):
            output.out(line, style=None if number else "bold")


def _fitted(
    widths: Sequence[int], headings: Sequence[str], cells: Sequence[Sequence[str]], wrap: Sequence[str], room: int
) -> list[int]:
    """Return the widths of the columns of a table on a terminal.

    Long words are broken only if the table fits then. Otherwise the terminal wraps its lines, and words stay whole.
    """
    words = {heading: _longest_word(headings.index(heading), headings, cells) for heading in wrap}
    for longest in (_LEAST_PIECE, max(words.values(), default=0)):
        narrowed = list(widths)
        for heading in wrap:
            at, over = headings.index(heading), _total(narrowed) - room
            if over > 0:
                narrowed[at] = max(narrowed[at] - over, min(words[heading], longest))
        if _total(narrowed) <= room:
            break
    return narrowed


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _longest_word(at: int, headings: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    return max((_width(word) for row in (headings, *cells) for word in row[at].split()), default=0)


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
