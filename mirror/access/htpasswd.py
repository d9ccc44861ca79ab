"""Parsing of htpasswd files: lines of ``name:hash``, as ``htpasswd -B`` of Apache writes them. Pure."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Final

from mirror.oci.errors import ConfigurationFault, NameInvalid
from mirror.records.users import parse_user_name

#: Largest cost of a hash. One check takes most of a second at this cost, and twice as long at the next one.
MOST_COST: Final = 14
# Of the last character of a salt and of a digest, only some values occur, because their sizes are no multiples of six
# bits. bcrypt would never match another one. The variant 2x has a defect that lets several passwords match.
_BCRYPT: Final = re.compile(r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]")
_OTHER_HASHES: Final = {
    "$2x$": "a bcrypt hash of the defective variant 2x",
    "$2": "not a whole bcrypt hash",
    "$apr1$": "an MD5 hash",
    "$1$": "an MD5 hash",
    "{SHA}": "a SHA-1 hash",
    "$5$": "a SHA-256 hash of crypt",
    "$6$": "a SHA-512 hash of crypt",
    "": "neither a bcrypt hash nor any other known one",
}
_MOST_PROBLEMS: Final = 20


@dataclass(frozen=True, slots=True)
class HtpasswdEntry:
    """One user in an htpasswd file.

    Attributes:
        name: user name.
        password_hash: bcrypt hash of the password, of the variant 2a, 2b or 2y.
    """

    name: str
    password_hash: str = field(repr=False)


def parse(text: str, where: str) -> list[HtpasswdEntry]:
    """Parse a whole file. Empty lines, and lines that begin with ``#``, are skipped.

    Args:
        text: content of the file.
        where: name of the file, for messages.

    Raises:
        ConfigurationFault: a line is not the entry of a user with a bcrypt hash. The message has one line for each of
            the first 20 mistakes, and never a hash.
    """
    entries: dict[str, HtpasswdEntry] = {}
    problems: list[str] = []
    for number, line in _lines(text):
        try:
            entry = _entry(line, entries)
        except (ConfigurationFault, NameInvalid) as error:
            problems.append(f"{where}:{number}: {error}")
        else:
            entries[entry.name] = entry
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        told = problems[:_MOST_PROBLEMS] + ([f"{where}: {more} more lines cannot be used"] if more > 0 else [])
        raise ConfigurationFault("\n".join(told))
    if not entries:
        raise ConfigurationFault(f"{where}: the file names no user; fix: give a file made by htpasswd -B")
    return list(entries.values())


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # Only at line feeds, as Apache does. str.splitlines() splits at further characters.
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip(" \t\r")
        if stripped and not stripped.startswith("#"):
            yield number, stripped


def _entry(line: str, earlier: Container[str]) -> HtpasswdEntry:
    name, colon, password_hash = line.partition(":")
    if not colon:
        raise ConfigurationFault("the line is not NAME:HASH")
    if parse_user_name(name) in earlier:
        raise ConfigurationFault(f"there is a line for {name} already; fix: remove one of the two")
    match = _BCRYPT.fullmatch(password_hash)
    if match is None:
        kind = next(kind for prefix, kind in _OTHER_HASHES.items() if password_hash.startswith(prefix))
        raise ConfigurationFault(f"the hash of {name} is {kind}; fix: make a bcrypt hash with htpasswd -B")
    cost = int(match["cost"])
    if not 4 <= cost <= MOST_COST:
        raise ConfigurationFault(
            f"the bcrypt hash of {name} has the cost {cost}; fix: make one with a cost of 4 to {MOST_COST}"
        )
    return HtpasswdEntry(name, password_hash)
