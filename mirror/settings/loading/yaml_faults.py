"""Words about what is no YAML."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final

import yaml

from mirror.settings.loading.empty_values import GLUED
from mirror.settings.loading.shown_keys import shown_unknown_key

#: What PyYAML says, and what to say instead. The first that matches counts.
_SAID: Final = (
    (r"character '\\t'", "a tab cannot indent, nor follow a colon", "use spaces"),
    (r"character '[@`%]'", "a value cannot begin with this character", "write the value in quotes"),
    (
        "mapping values",
        "this line does not fit the one before",
        "write a space after each colon, indent keys alike, and write values with ': ' in quotes",
    ),
    ("could not find expected ':'", "a line is no key and no item", "write KEY: VALUE, or '- ' before an item"),
    (
        "expected <block end>",
        "the indentation fits no line above, or text follows a quote or brace",
        "indent keys alike, or write the whole value in quotes",
    ),
    ("node content|chomping", "a value is missing or begins with a special character", "write the value in quotes"),
    ("expected ',' or", "a bracket or brace is not closed", "close it, or write the value in quotes"),
    ("end of stream|document separator", "a quote is not closed", "close it"),
    ("expected a single document|but found another", "a second document begins", "keep one, and remove the line '---'"),
    ("alias|anchor|alphabetic", "a value begins with * or &, and is no alias or anchor", "write the value in quotes"),
    ("escape", "a backslash has no meaning here", "write the value in single quotes"),
    ("tag|handle|directive|version", "a tag (!) or directive (%) has no meaning here", "write the value in quotes"),
    ("sequence entries|mapping keys", "an item or key begins in the middle of a line", "begin a new line"),
)
_NOT_YAML: Final = ("it cannot be read as YAML", "compare indentation, quotes and brackets with the lines above")


def what_is_wrong(error: yaml.YAMLError, text: str) -> tuple[int | None, str, str]:
    """Return the line of an error, from 1, what is wrong, and the fix.

    Args:
        error: the error of PyYAML.
        text: the document.
    """
    said, mark = str(getattr(error, "problem", "")), getattr(error, "problem_mark", None)
    if mark is None:
        return None, *_NOT_YAML
    if said.startswith(("mapping values", "could not find expected ':'")) and (line := _without_space(text, mark.line)):
        return line, "a colon without a space does not end a key", "write a space after the colon"
    if "quoted scalar" in str(getattr(error, "context", "")) and "unexpected" in said:
        mark = getattr(error, "context_mark", mark)
    elif re.search("end of stream|<stream end>|expected ',' or", said) and (opened := _opened(text, mark.index)):
        return opened, "a bracket or brace is not closed", "close it, or write the value in quotes"
    if name := re.fullmatch("found undefined alias '?(.*?)'?", said):
        return (
            mark.line + 1,
            f"no anchor (&) is called {shown_unknown_key(name[1])}",
            "add it, or write the value in quotes",
        )
    what, fix = next(((what, fix) for pattern, what, fix in _SAID if re.search(pattern, said)), _NOT_YAML)
    return mark.line + 1, what, fix


def _without_space(text: str, number: int) -> int | None:
    """Return the line, from 1, of a key without a space after its colon: a line, or one above that it continues.

    Args:
        text: the document.
        number: number of the line at which the document stops to make sense, from 0.
    """
    lines = re.split("\r\n|[\n\r\x85\u2028\u2029]", text)
    for line in range(number, -1, -1):
        if GLUED.match(lines[line]):
            return line + 1
        if line < number and re.match(r"[^#]*:(\s|$)", lines[line]):
            return None
    return None


def _opened(text: str, end: int) -> int | None:
    """Return the line, from 1, of the innermost bracket or brace that is open at a character."""
    lines: list[int] = []
    with suppress(yaml.YAMLError):
        for token in yaml.scan(text, yaml.SafeLoader):
            if token.start_mark.index >= end:
                break
            if isinstance(token, yaml.FlowSequenceStartToken | yaml.FlowMappingStartToken):
                lines.append(token.start_mark.line + 1)
            elif isinstance(token, yaml.FlowSequenceEndToken | yaml.FlowMappingEndToken) and lines:
                lines.pop()
    return lines[-1] if lines else None
