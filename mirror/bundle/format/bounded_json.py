"""JSON documents of bundles, read within fixed memory and with one meaning. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.oci.errors import ManifestInvalid
from mirror.oci.strict_reading.strict_json import read_object

#: Approximate limit of values, because parsed values take many times the memory of their text. Commas and opening
#: brackets are counted, also in strings. A statement with 200 000 members has 600 000; notes about 50 000 names have
#: 400 000.
MOST_VALUES: Final = 1_500_000
#: The escape sequence of a half. Two halves make a character.
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def require_bounded(content: bytes, what: str, most_bytes: int) -> None:
    """Raise BundleInvalid if a document is larger than every reader reads. For readers before they parse, and writers.

    Args:
        content: the document.
        what: name of the document in messages.
        most_bytes: limit of its size.
    """
    if len(content) > most_bytes:
        raise BundleInvalid(f"{what} is larger than {most_bytes} bytes, so no reader accepts it; fix: bundle less")
    if count_values(content) > MOST_VALUES:
        raise BundleInvalid(f"{what} has more than {MOST_VALUES} values, so no reader accepts it; fix: bundle less")


def count_values(content: bytes) -> int:
    """Return the approximate number of values in JSON, or more."""
    return sum(map(content.count, (b",", b"[", b"{")))


def read_bounded(content: bytes, what: str, most_bytes: int) -> dict[str, Any]:
    """Return a JSON object from outside.

    Args:
        content: the object.
        what: name of the document in messages.
        most_bytes: limit of its size.

    Raises:
        BundleInvalid: the bytes are not a JSON object, are too large, or have a name twice in an object, of which
            readers would take different ones.
    """
    require_bounded(content, what, most_bytes)
    try:
        document = read_object(content, what)
    except ManifestInvalid as error:
        raise BundleInvalid(str(error)) from error
    if document.twice is not None:
        raise BundleInvalid(f"{what} has a name twice in one object")
    if _SURROGATE.search(content):
        try:
            json.dumps(document.body, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise BundleInvalid(f"{what} has half a character, which no database and no terminal can take") from error
    return document.body
