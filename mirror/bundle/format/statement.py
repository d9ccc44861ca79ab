"""The statement of a bundle: an in-toto statement about its members and its place in a stream. Pure.

Everything that a reader must know stands in the statement, and one set of signatures covers it all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.bundle.format.bounded_json import read_bounded, require_bounded
from mirror.bundle.format.member import INDEX, OCI_LAYOUT, OCI_LAYOUT_CONTENT, Member, digest_in_path, in_order
from mirror.oci import Digest
from mirror.oci.errors import ClientFault
from mirror.oci.printable_text import quoted
from mirror.oci.timestamps import machine_time
from mirror.plugin.build.assembly import canonical_json

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
PREDICATE_TYPE: Final = "urn:docker-plugin-mirror:bundle:1"
_STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
FORMAT: Final = 1
#: Largest number of members, which bounds the memory of every reader.
MOST_MEMBERS: Final = 200_000
MOST_SERIAL: Final = 2**53 - 1  # the largest integer that every JSON reader keeps
_MOST_SIZE_BYTES: Final = 2**50
_MOST_STATEMENT_BYTES: Final = 35 * 1024 * 1024  # in base64, it fits an envelope
_FIRST: Final = Member.of_content(OCI_LAYOUT, OCI_LAYOUT_CONTENT)
_STREAM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Since:
    """State of the receiver that a delta was made against. Exactly one attribute is set.

    Attributes:
        receipt: digest of the receipt.
        serial: serial up to which the bundles of the stream are assumed to have arrived.
    """

    receipt: Digest | None = None
    serial: int | None = None


@dataclass(frozen=True, slots=True)
class NameOrigin:
    """Source of a name in the bundle.

    Attributes:
        source: ``HOST/NAME`` or ``UPSTREAM/NAME``; empty for a tag that a client pushed.
        brought_at: time at which the sender got the content; None if unknown.
    """

    source: str
    brought_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Notes:
    """Records of the sender that travel with the content.

    Attributes:
        origins: sources of names, by ``NAME:TAG``.
        derivations: derivations of derived copies as plain values, by digest (:mod:`mirror.records.derivations`).
        first_seen: time at which the sender first held a manifest, by digest.
        absent: content that indexes of the bundle lack, as plain values (:mod:`mirror.records.absent_content`).
    """

    origins: Mapping[str, NameOrigin] = field(default_factory=dict)
    derivations: Mapping[Digest, Mapping[str, Any]] = field(default_factory=dict)
    first_seen: Mapping[Digest, datetime] = field(default_factory=dict)
    absent: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """Statement about a bundle.

    Attributes:
        stream: name of the series of bundles.
        serial: number in the stream, from 1. Later bundles have higher numbers.
        created: time of creation, in UTC, whole seconds.
        members: all members of the tar except for the statement, in the order of the tar.
        previous: digest of the statement before this one in the stream; None for the first.
        since: state of the receiver that the bundle was made against; None for a full bundle.
        notes: records of the sender.
    """

    stream: str
    serial: int
    created: datetime
    members: tuple[Member, ...]
    previous: Digest | None = None
    since: Since | None = None
    notes: Notes = field(default_factory=Notes)

    def member(self, path: str) -> Member | None:
        """Return the member with a path; None if there is none."""
        return next((member for member in self.members if member.path == path), None)

    def to_bytes(self) -> bytes:
        """Return the statement as JSON. The same statement gives the same bytes.

        Raises:
            BundleInvalid: the bundle has no index, or is too large for its readers.
        """
        index = self.member(INDEX)
        if index is None or len(self.members) > MOST_MEMBERS:
            raise BundleInvalid(f"a bundle needs an {INDEX}, and has at most {MOST_MEMBERS} members")
        content = canonical_json(
            {
                "_type": _STATEMENT_TYPE,
                "subject": [{"name": INDEX, "digest": {"sha256": index.digest.hex}}],
                "predicateType": PREDICATE_TYPE,
                "predicate": {
                    "format": FORMAT,
                    "stream": self.stream,
                    "serial": self.serial,
                    "created": machine_time(self.created),
                    "previous": self.previous and str(self.previous),
                    "since": self.since and _since_to_json(self.since),
                    "members": [_member_to_json(member) for member in self.members],
                    "notes": _notes_to_json(self.notes),
                },
            },
            "statement",
        )
        require_bounded(content, "the statement", _MOST_STATEMENT_BYTES)
        return content

    @classmethod
    def parse(cls, payload: bytes) -> Statement:
        """Return the statement in a verified document.

        Raises:
            BundleInvalid: the document is not a statement, or of a format of a later version.
        """
        try:
            return _parse(read_bounded(payload, "the statement", _MOST_STATEMENT_BYTES))
        except ClientFault as error:  # names and digests
            raise BundleInvalid(f"the statement is invalid: {error}") from error


def is_stream(text: str) -> bool:
    """Return True if a text may be the name of a stream."""
    return _STREAM.fullmatch(text) is not None


def _member_to_json(member: Member) -> list[Any]:
    found = [member.path, member.size_bytes]
    return found if member.is_blob else [*found, str(member.digest)]


def _since_to_json(since: Since) -> dict[str, Any]:
    return {"serial": since.serial} if since.receipt is None else {"receipt": str(since.receipt)}


def _notes_to_json(notes: Notes) -> dict[str, Any]:
    return {
        "origins": {
            name: [origin.source, machine_time(origin.brought_at)] for name, origin in sorted(notes.origins.items())
        },
        "derivations": {str(digest): dict(value) for digest, value in sorted(notes.derivations.items())},
        "first_seen": {str(digest): machine_time(moment) for digest, moment in sorted(notes.first_seen.items())},
        "absent": [dict(value) for value in notes.absent],
    }


def _parse(value: Mapping[str, Any]) -> Statement:
    predicate = value.get("predicate")
    if value.get("_type") != _STATEMENT_TYPE or value.get("predicateType") != PREDICATE_TYPE:
        raise BundleInvalid(f"the document is not a statement of type {PREDICATE_TYPE}")
    if not isinstance(predicate, dict):
        raise BundleInvalid("the statement has no predicate")
    if predicate.get("format") != FORMAT:
        raise BundleInvalid(
            f"the bundle has format {quoted(str(predicate.get('format')))}, and this version reads format {FORMAT}; "
            "fix: use a later version of plugin-mirror"
        )
    stream, serial = predicate.get("stream"), _integer(predicate.get("serial"), "serial", MOST_SERIAL)
    if not isinstance(stream, str) or not is_stream(stream) or serial == 0:
        raise BundleInvalid("the statement has no valid stream and serial")
    members = _members(predicate.get("members"))
    if value.get("subject") != [{"name": INDEX, "digest": {"sha256": members[1].digest.hex}}]:
        raise BundleInvalid(f"the subject of the statement is not the {INDEX} among its members")
    previous = predicate.get("previous")
    return Statement(
        stream,
        serial,
        _time(predicate.get("created"), "created"),
        members,
        None if previous is None else _digest(previous, "previous"),
        _since(predicate.get("since")),
        _notes(predicate.get("notes")),
    )


def _members(value: object) -> tuple[Member, ...]:
    if not isinstance(value, list):
        raise BundleInvalid("the statement has no list of members")
    if len(value) > MOST_MEMBERS:
        raise BundleInvalid(f"the statement has more than {MOST_MEMBERS} members")
    members = tuple(_member(each) for each in value)
    if len({member.path for member in members}) < len(members):
        raise BundleInvalid("the statement lists a member twice")
    if members[:1] != (_FIRST,) or [member.path for member in members[1:2]] != [INDEX]:
        raise BundleInvalid(f"the members do not begin with {OCI_LAYOUT} and {INDEX}")
    documents = in_order(member.path for member in members if not member.is_blob)
    if [member.path for member in members[: len(documents)]] != documents:
        raise BundleInvalid("the members of the statement are not in the order of the format")
    return members


def _member(value: Any) -> Member:
    match value:
        case [str(path), size, *rest]:
            digest = digest_in_path(path)
            size_bytes = _integer(size, path, _MOST_SIZE_BYTES)
            if digest is not None and not rest:
                return Member(path, size_bytes, digest)
            if digest is None and len(rest) == 1:
                return Member(path, size_bytes, _digest(rest[0], path))
    raise BundleInvalid("the statement has a member that is not [path, size] or [path, size, digest]")


def _since(value: Any) -> Since | None:
    match value:
        case None:
            return None
        case {"receipt": receipt, **rest} if not rest:
            return Since(receipt=_digest(receipt, "since"))
        case {"serial": serial, **rest} if not rest:
            return Since(serial=_integer(serial, "since", MOST_SERIAL))
    raise BundleInvalid("the statement has an unknown 'since'")


def _notes(value: Any) -> Notes:
    if not isinstance(value, dict):
        raise BundleInvalid("the statement has no notes")
    absent = value.get("absent", [])
    if not isinstance(absent, list) or not all(isinstance(each, dict) for each in absent):
        raise BundleInvalid("the notes of the statement are invalid: absent")
    return Notes(
        {name: _origin(item) for name, item in _object(value, "origins").items()},
        _by_digest(
            _object(value, "derivations"), lambda item: item if isinstance(item, dict) else _refuse("derivations")
        ),
        _by_digest(_object(value, "first_seen"), lambda item: _time(item, "first_seen")),
        tuple(absent),
    )


def _origin(value: Any) -> NameOrigin:
    match value:
        case [str(source), None]:
            return NameOrigin(source)
        case [str(source), str(brought_at)]:
            return NameOrigin(source, _time(brought_at, "origins"))
    raise BundleInvalid("the notes of the statement are invalid: origins")


def _refuse(what: str) -> Any:
    raise BundleInvalid(f"the notes of the statement are invalid: {what}")


def _object(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key, {})
    return found if isinstance(found, dict) else _refuse(key)


def _by_digest(value: Mapping[str, Any], read: Callable[[Any], Item]) -> dict[Digest, Item]:
    return {Digest.parse(text): read(item) for text, item in value.items()}


def _integer(value: object, what: str, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise BundleInvalid(f"the statement has no valid number for {quoted(what)}")
    return value


def _digest(value: object, what: str) -> Digest:
    if not isinstance(value, str):
        raise BundleInvalid(f"the statement has no digest for {quoted(what)}")
    return Digest.parse(value)


def _time(value: object, what: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value).astimezone(UTC) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        moment = None
    if moment is None or machine_time(moment) != value:
        raise BundleInvalid(f"the statement has no valid time for {quoted(what)}")
    return moment
