"""The documents of a bundle: what is written is read back, and anything else is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.bundle.format import bounded_json
from mirror.bundle.format.bounded_json import MOST_VALUES
from mirror.bundle.format.bundle_index import NamedManifest, read_index, write_index
from mirror.bundle.format.envelope import Envelope, Signature
from mirror.bundle.format.member import INDEX, OCI_LAYOUT, OCI_LAYOUT_CONTENT, REPORT, Member, key_set_path
from mirror.bundle.format.statement import MOST_SERIAL, NameOrigin, Notes, Since, Statement
from mirror.oci import Descriptor, Digest, Repository, Tag
from mirror.oci.media_types import MANIFESTS

DIGESTS = st.binary(max_size=4).flatmap(lambda raw: st.sampled_from([Digest.of(raw), Digest.of(raw, "sha512")]))
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(9999, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0)
)
NAMES = st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,8})?", fullmatch=True).map(Repository)
TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True).map(Tag)
VERSIONS = st.sets(st.integers(1, 99), max_size=3)
SIZES = st.integers(0, 2**40)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
PLAIN = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | TEXTS, lambda inner: st.lists(inner, max_size=2))
NOTES = st.builds(
    Notes,
    st.dictionaries(TEXTS, st.builds(NameOrigin, TEXTS, st.none() | TIMES), max_size=3),
    st.dictionaries(DIGESTS, st.dictionaries(TEXTS, PLAIN, max_size=2), max_size=2),
    st.dictionaries(DIGESTS, TIMES, max_size=2),
    st.lists(st.dictionaries(TEXTS, TEXTS, max_size=2), max_size=2).map(tuple),
)


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    documents = [
        Member.of_content(OCI_LAYOUT, OCI_LAYOUT_CONTENT),
        Member(INDEX, draw(SIZES), Digest.of(draw(st.binary(max_size=4)))),
        *(Member(key_set_path(version), draw(SIZES), draw(DIGESTS)) for version in sorted(draw(VERSIONS))),
        *([Member(REPORT, draw(SIZES), draw(DIGESTS))] * draw(st.booleans())),
    ]  # fmt: skip
    blobs = [Member.of_blob(digest, draw(SIZES)) for digest in draw(st.lists(DIGESTS, unique=True, max_size=5))]
    since = st.none() | st.builds(lambda digest: Since(receipt=digest), DIGESTS) | st.builds(
        lambda serial: Since(serial=serial), st.integers(0, MOST_SERIAL)
    )  # fmt: skip
    return Statement(
        draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True)),
        draw(st.integers(1, MOST_SERIAL)),
        draw(TIMES),
        (*documents, *blobs),
        draw(st.none() | DIGESTS),
        draw(since),
        draw(NOTES),
    )


@given(statements())
def test_a_statement_is_read_back(statement: Statement) -> None:
    content = statement.to_bytes()
    assert Statement.parse(content) == statement
    assert Statement.parse(content).to_bytes() == content
    assert content.isascii()


@given(
    st.text(st.characters(codec="ascii", exclude_categories=["Cs"]), max_size=9),
    st.binary(max_size=99),
    st.lists(st.builds(Signature, TEXTS, st.binary(max_size=64)), max_size=3).map(tuple),
    st.integers(0, 600),
)
def test_an_envelope_is_read_back(kind: str, payload: bytes, signatures: tuple[Signature, ...], room: int) -> None:
    envelope = Envelope(kind, payload, signatures)
    exact = envelope.to_bytes()
    padded = envelope.to_bytes(len(exact) + room)
    assert padded == exact + b" " * room
    assert Envelope.parse(padded, "it") == envelope
    assert envelope.digest == Digest.of(payload)


@given(st.lists(st.tuples(NAMES, TAGS | st.none(), DIGESTS, SIZES, st.sampled_from(MANIFESTS)), max_size=5))
def test_an_index_is_read_back(listed: list[tuple[Repository, Tag | None, Digest, int, str]]) -> None:
    names = {
        (repository, target): NamedManifest(repository, target, Descriptor(media_type, digest, size))
        for repository, tag, digest, size, media_type in listed
        for target in [tag or digest]
    }
    content = write_index(names.values())
    assert sorted(read_index(content), key=str) == sorted(names.values(), key=str)
    assert write_index(reversed([*names.values()])) == content


def plain(**changes: Any) -> dict[str, Any]:
    """Return a valid statement as plain values. ``changes`` replace members of its predicate."""
    index = Member.of_content(INDEX, b"{}")
    written = Statement(
        "site", 1, datetime(2026, 1, 2, tzinfo=UTC), (Member.of_content(OCI_LAYOUT, OCI_LAYOUT_CONTENT), index)
    ).to_bytes()
    value: dict[str, Any] = json.loads(written)
    value["predicate"] |= changes
    return value


def members(*more: Any) -> list[Any]:
    listed: list[Any] = plain()["predicate"]["members"]
    return [*listed, *more]


HEX = "a" * 64
BLOB = f"blobs/sha256/{HEX}"
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"format": 2}, "later version"),
    ({"stream": "a/b"}, "stream and serial"),
    ({"stream": ""}, "stream and serial"),
    ({"stream": "x" * 129}, "stream and serial"),
    ({"serial": 0}, "stream and serial"),
    ({"serial": -1}, "number for 'serial'"),
    ({"serial": True}, "number for 'serial'"),
    ({"serial": 1.0}, "number for 'serial'"),
    ({"serial": 2**53}, "number for 'serial'"),
    ({"created": None}, "time for 'created'"),
    ({"created": "2026-01-02"}, "time for 'created'"),
    ({"created": "2026-01-02T00:00:00"}, "time for 'created'"),
    ({"created": "2026-01-02T00:00:00.5Z"}, "time for 'created'"),
    ({"created": "0001-01-01T00:00:00+23:59"}, "time for 'created'"),
    ({"previous": "sha256:1"}, "statement is invalid"),
    ({"since": {}}, "since"),
    ({"since": {"serial": 1, "receipt": f"sha256:{HEX}"}}, "since"),
    ({"since": {"serial": "1"}}, "number for 'since'"),
    ({"notes": []}, "no notes"),
    ({"notes": {"origins": []}}, "origins"),
    ({"notes": {"origins": {"a:b": "hub"}}}, "origins"),
    ({"notes": {"derivations": {f"sha256:{HEX}": 1}}}, "derivations"),
    ({"notes": {"derivations": {"no digest": {}}}}, "statement is invalid"),
    ({"notes": {"first_seen": {f"sha256:{HEX}": 1}}}, "time for 'first_seen'"),
    ({"notes": {"absent": [1]}}, "absent"),
    ({"members": None}, "list of members"),
    ({"members": []}, "begin with"),
    ({"members": members()[1:]}, "begin with"),
    ({"members": members([BLOB, 1], [BLOB, 2])}, "twice"),
    ({"members": members([BLOB])}, "not \\[path, size"),
    ({"members": members([BLOB, 1, f"sha256:{HEX}"])}, "not \\[path, size"),
    ({"members": members(BLOB)}, "not \\[path, size"),
    ({"members": members([REPORT, 1])}, "not \\[path, size"),
    ({"members": members([BLOB, -1])}, "number for"),
    ({"members": members([BLOB, 2**50 + 1])}, "number for"),
    ({"members": members(["blobs/sha256/../../x", 1])}, "no bundle may have"),
    ({"members": members(["blobs/sha256/" + HEX.upper(), 1])}, "no bundle may have"),
    ({"members": members(["blobs/sha256/aa", 1])}, "statement is invalid"),
    ({"members": members(["blobs/md5/" + HEX, 1])}, "no bundle may have"),
    ({"members": members(["/etc/passwd", 1, f"sha256:{HEX}"])}, "no bundle may have"),
    ({"members": members(["plugin-mirror/statement.json", 1, f"sha256:{HEX}"])}, "no bundle may have"),
    ({"members": members(["plugin-mirror/keys/01.json", 1, f"sha256:{HEX}"])}, "no bundle may have"),
    ({"members": members([BLOB, 1], [REPORT, 1, f"sha256:{HEX}"])}, "order"),
    ({"members": members([REPORT, 1, f"sha256:{HEX}"], [key_set_path(1), 1, f"sha256:{HEX}"])}, "order"),
    ({"members": members([key_set_path(10), 1, f"sha256:{HEX}"], [key_set_path(9), 1, f"sha256:{HEX}"])}, "order"),
]


@pytest.mark.parametrize(("changes", "told"), REFUSED, ids=lambda value: json.dumps(value)[:60])
def test_a_statement_that_is_refused(changes: dict[str, Any], told: str) -> None:
    Statement.parse(json.dumps(plain()).encode())
    with pytest.raises(BundleInvalid, match=told):
        Statement.parse(json.dumps(plain(**changes)).encode())


def test_the_subject_is_the_index_among_the_members() -> None:
    value = plain()
    value["subject"][0]["digest"]["sha256"] = HEX
    with pytest.raises(BundleInvalid, match="subject"):
        Statement.parse(json.dumps(value).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"1",
        b"\xff",
        b'{"a":NaN}',
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":"\\ud800"}',
        b"[" * 9999,
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    "parse", [Statement.parse, read_index, lambda content: Envelope.parse(content, "it")], ids=["st", "ix", "env"]
)
def test_a_document_that_is_no_object_or_has_two_meanings(parse: Callable[[bytes], object], content: bytes) -> None:
    with pytest.raises(BundleInvalid):
        parse(content)


def test_whole_characters_may_be_escaped() -> None:
    notes = Notes({"\U0001f40b:latest": NameOrigin("\\ud83d")})
    index = Member.of_content(INDEX, b"{}")
    first = Member.of_content(OCI_LAYOUT, OCI_LAYOUT_CONTENT)
    written = Statement("site", 1, datetime(2026, 1, 2, tzinfo=UTC), (first, index), notes=notes).to_bytes()
    assert Statement.parse(written).notes == notes


@pytest.mark.parametrize("value", [b"[]", b"{}", b'""', b"0"])
def test_values_are_counted_before_they_are_parsed(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each would take many times its size in memory.
    monkeypatch.setattr(bounded_json, "read_object", None)
    content = b'{"manifests":[' + (value + b",") * MOST_VALUES + b"0]}"
    for parse in (Statement.parse, read_index):
        with pytest.raises(BundleInvalid, match="values"):
            parse(content)


def test_what_readers_would_refuse_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    most_bytes = 100_000
    monkeypatch.setattr("mirror.bundle.format.bundle_index.MOST_INDEX_BYTES", most_bytes)
    name = Repository("a" * 200)
    descriptor = Descriptor(MANIFESTS[0], Digest.of(b""), 1)
    count = most_bytes // len(write_index([NamedManifest(name, Tag("1"), descriptor)]))
    with pytest.raises(BundleInvalid, match="no reader accepts it"):
        write_index(NamedManifest(name, Tag(f"{number:0200}"), descriptor) for number in range(count))


INDEX_ENTRY = {"mediaType": MANIFESTS[0], "digest": f"sha256:{HEX}", "size": 1}
REF = "org.opencontainers.image.ref.name"


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([INDEX_ENTRY], "invalid|no name"),
        ([INDEX_ENTRY | {"annotations": {REF: "latest"}}], "invalid|no name"),
        ([INDEX_ENTRY | {"annotations": {REF: "UPPER:latest"}}], "invalid"),
        ([INDEX_ENTRY | {"annotations": {REF: "a/b:1"}}] * 2, "twice"),
        ([INDEX_ENTRY | {"annotations": {REF: f"a/b@sha256:{'b' * 64}"}}], "wrongly"),
        ([INDEX_ENTRY | {"annotations": {REF: "a/b@latest"}}], "no name|invalid"),
        ([INDEX_ENTRY | {"annotations": {REF: f"a/b:sha256:{HEX}"}}], "no name|invalid"),
        ([INDEX_ENTRY | {"mediaType": "text/plain", "annotations": {REF: "a/b:1"}}], "wrongly"),
        ([INDEX_ENTRY | {"size": -1, "annotations": {REF: "a/b:1"}}], "invalid"),
        ("no list", "no list"),
        ([1], "invalid"),
    ],
    ids=lambda value: json.dumps(value)[-50:],
)
def test_an_index_that_is_refused(entries: object, told: str) -> None:
    with pytest.raises(BundleInvalid, match=told):
        read_index(json.dumps({"schemaVersion": 2, "manifests": entries}).encode())


@pytest.mark.parametrize(
    "changes",
    [
        {"payload": None},
        {"payload": "***"},
        {"payloadType": 1},
        {"payloadType": "\u00e9"},
        {"signatures": None},
        {"signatures": [1]},
        {"signatures": [{"keyid": 1, "sig": ""}]},
        {"signatures": [{"keyid": ""}]},
        {"signatures": [{"sig": ""}] * 65},
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_an_envelope_that_is_refused(changes: dict[str, Any]) -> None:
    value = {"payload": "", "payloadType": "a", "signatures": []}
    Envelope.parse(json.dumps(value).encode(), "it")
    with pytest.raises(BundleInvalid, match=r"^it "):
        Envelope.parse(json.dumps(value | changes).encode(), "it")


def test_a_signature_that_does_not_fit_is_not_written() -> None:
    envelope = Envelope("a", b"payload")
    room = envelope.padded_size_bytes
    for number in range(16):
        envelope = envelope.with_signature(Signature(f"{number:064}", bytes(64)))
    assert len(envelope.to_bytes(room)) == room  # sixteen signatures fit
    assert len(envelope.with_signature(Signature(f"{3:064}", bytes(64))).signatures) == 16
    with pytest.raises(BundleInvalid, match="do not fit"):
        Envelope("a", b"payload", envelope.signatures * 2).to_bytes(room)


def test_the_signed_bytes_are_those_of_dsse() -> None:
    # The example of the specification (dsse, protocol.md).
    signed = Envelope("http://example.com/HelloWorld", b"hello world").signed_bytes
    assert signed == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
