"""Incremental reading of one array in a large JSON object.

A parser written in C keeps every other thread from running until the whole document is read, which takes half a second
for a few MiB of the wrong kind. Here each step reads one window of the document. A step therefore has bounded cost,
and other threads run between steps.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from typing import Any, Final, NoReturn

from mirror.oci.errors import ManifestInvalid

#: Longest array element, longest string and longest white space accepted, in bytes.
MAX_ELEMENT_BYTES: Final = 64 * 1024
_MAX_DEPTH: Final = 64
_MOST_STRINGS: Final = 1024
_STEP_TOKENS: Final = 512
_MOST_TOKENS: Final = 1024 * 1024
_STEP_BYTES: Final = 64 * 1024

# The quantifiers are possessive and the groups atomic, so that hostile input cannot make the matcher backtrack.
_SPACE: Final = rb"[ \t\n\r]*+"
_STRING: Final = rb'"(?>[^"\\\x00-\x1f]++|\\[^\x00-\x1f])*+"'
_NAME: Final = re.compile(_SPACE + rb"(" + _STRING + rb")" + _SPACE + rb":")
# A run of plain strings is parsed in one go, because the array of a list of tags holds nothing else.
_STRINGS: Final = re.compile(rb"(?>%b%b%b,){1,%d}+" % (_SPACE, _STRING, _SPACE, _MOST_STRINGS))
_SCALAR: Final = rb"(?:" + _STRING + rb"|[-+.0-9A-Za-z]++)"
_TOKEN: Final = re.compile(_SPACE + rb"(?:([\[{])|([\]}])|" + _SCALAR + rb")")
_INSIDE: Final = re.compile(rb"(?>" + _SPACE + rb"(?:[,:]|" + _SCALAR + rb")){1,256}+")
_MARK: Final = re.compile(_SPACE + rb"([\[\]{},])")
_END: Final = re.compile(_SPACE)
_CLOSED_BY: Final = {b"[": b"]", b"{": b"}"}


def elements(body: bytes, name: str, what: str) -> Generator[list[Any], None, None]:
    """Read the elements of a top-level array. A null or missing member counts as an empty array.

    Other members are skipped. Only their strings and brackets are checked.

    Args:
        body: the document.
        name: the name of the member holding the array.
        what: the kind of document, used in error messages, such as ``"list of tags"``.

    Yields:
        The elements in order, a few at a time. A step without elements yields an empty list.

    Raises:
        ManifestInvalid: the document is not a JSON object, the member is not an array or occurs twice, an element is
            longer than :data:`MAX_ELEMENT_BYTES`, values are nested more than 64 deep, or there are too many nested
            values.
    """
    return _Reading(body, name, what).elements()


class _Reading:
    """Parser state: the document and the current position."""

    def __init__(self, body: bytes, name: str, what: str) -> None:
        self._body = body
        self._name = name
        self._what = what
        self._position = 0
        self._tokens = 0

    def elements(self) -> Generator[list[Any], None, None]:
        if not self._next_is(b"{"):
            raise self._wrong("is not JSON, or is not a JSON object")
        found = False
        ended = self._next_is(b"}")
        while not ended:
            name = self._member()
            if name != self._name:
                yield from self._passed_over()
            elif found:
                raise self._wrong(f"has the member {self._name} twice")
            else:
                found = True
                yield from self._wanted()
            ended = self._mark(b",}") == b"}"
        rest = _END.match(self._body, self._position)
        if rest is None or rest.end() != len(self._body):
            raise self._not_json()

    def _wanted(self) -> Generator[list[Any], None, None]:
        if not self._next_is(b"["):
            start = self._position
            yield from self._passed_over()
            if self._body[start : self._position].strip() != b"null":
                raise self._wrong(f"is invalid: its member {self._name} is not a list")
            return
        if self._next_is(b"]"):
            return
        while True:
            run = _STRINGS.match(self._body, self._position, self._position + _STEP_BYTES)
            if run is not None:
                self._position = run.end()
                yield self._parsed(b"[" + run[0][:-1] + b"]")
                continue
            some, ended = yield from self._elements_of_any_kind()
            yield some
            if ended:
                return

    def _elements_of_any_kind(self) -> Generator[list[Any], None, tuple[list[Any], bool]]:
        """Read some elements of any type. Return them, and True if they end the array."""
        some: list[Any] = []
        begun = self._position
        while self._position - begun < _STEP_BYTES:
            start = self._position
            yield from self._passed_over(MAX_ELEMENT_BYTES)
            some.append(self._parsed(self._body[start : self._position]))
            if self._mark(b",]") == b"]":
                return some, True
            if len(some) == _MOST_STRINGS:
                break
        return some, False

    def _passed_over(self, limit_bytes: int | None = None) -> Generator[list[Any], None, None]:
        """Move the position behind the value beginning here.

        Raises:
            ManifestInvalid: the value is malformed, nested too deep, or longer than ``limit_bytes``.
        """
        start = self._position
        open_: list[bytes] = []
        while True:
            match = _INSIDE.match(self._body, self._position, self._position + MAX_ELEMENT_BYTES) if open_ else None
            if match is None:
                match = _TOKEN.match(self._body, self._position, self._position + MAX_ELEMENT_BYTES)
                if match is None or (match[2] and (not open_ or open_.pop() != match[2])):
                    raise self._not_json()
                if match[1]:
                    open_.append(_CLOSED_BY[match[1]])
            self._position = match.end()
            if len(open_) > _MAX_DEPTH:
                raise self._wrong(f"is nested more than {_MAX_DEPTH} deep")
            if limit_bytes is not None and self._position - start > limit_bytes:
                raise self._wrong(f"has an element of more than {limit_bytes} bytes")
            if not open_:
                return
            self._tokens += 1
            if self._tokens > _MOST_TOKENS:
                raise self._wrong("has too many nested values")
            if self._tokens % _STEP_TOKENS == 0:  # ends the step: nothing found, but others get their turn
                yield []

    def _member(self) -> str:
        match = _NAME.match(self._body, self._position, self._position + MAX_ELEMENT_BYTES)
        if match is None:
            raise self._not_json()
        self._position = match.end()
        name: str = self._parsed(match[1])
        return name

    def _next_is(self, mark: bytes) -> bool:
        """Return True and move behind ``mark`` if this mark comes next."""
        match = _MARK.match(self._body, self._position, self._position + MAX_ELEMENT_BYTES)
        if match is None or match[1] != mark:
            return False
        self._position = match.end()
        return True

    def _mark(self, marks: bytes) -> bytes:
        match = _MARK.match(self._body, self._position, self._position + MAX_ELEMENT_BYTES)
        if match is None or match[1] not in marks:
            raise self._not_json()
        self._position = match.end()
        return match[1]

    def _parsed(self, text: bytes) -> Any:
        try:
            return _DECODER.decode(text.decode())
        except (ValueError, RecursionError) as error:
            raise self._wrong(f"is not JSON: before byte {self._position}") from error

    def _not_json(self) -> ManifestInvalid:
        return self._wrong(f"is not JSON, or has a string that is too long, after byte {self._position}")

    def _wrong(self, why: str) -> ManifestInvalid:
        return ManifestInvalid(f"{self._what} {why}")


def _refuse(constant: str) -> NoReturn:
    """Reject ``NaN`` and ``Infinity``, which Python's decoder accepts although JSON does not have them."""
    raise ValueError(f"{constant} is not a JSON value")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse)
