"""Receipts: what they hold, how small they are, and bytes that are none."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.bundle.delta.receipt import Receipt
from mirror.oci import Digest

NOW = datetime(2026, 11, 29, 9, 0, 0, tzinfo=UTC)
ONE, OTHER, WIDE = Digest.of(b"one"), Digest.of(b"other"), Digest.of(b"wide", "sha512")
RECEIPT = Receipt(
    NOW,
    frozenset({ONE, OTHER, WIDE}),
    {"contiv/v2plugin:1.0": ONE, "contiv/v2plugin:1.1": WIDE, f"contiv/v2plugin@{OTHER}": OTHER, "acme/driver:1": ONE},
    {"hub-0a1b2c3d": 7},
)

digests = st.binary(max_size=8).flatmap(
    lambda seed: st.sampled_from([Digest.of(seed), Digest.of(seed), Digest.of(seed, "sha512")])
)
repositories = st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,8})?", fullmatch=True)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,12}", fullmatch=True)


@st.composite
def receipts(draw: st.DrawFn) -> Receipt:
    """Return any receipt."""
    held = draw(st.lists(digests, unique=True, max_size=12))
    names: dict[str, Digest] = {}
    for repository in draw(st.lists(repositories, max_size=4)) if held else ():
        for tag in draw(st.lists(tags, max_size=3)):
            names[f"{repository}:{tag}"] = draw(st.sampled_from(held))
        for digest in draw(st.lists(st.sampled_from(held), max_size=3)):
            names[f"{repository}@{digest}"] = digest
    streams = draw(st.dictionaries(tags.filter(lambda text: text[0] != "_"), st.integers(1, 2**53 - 1), max_size=3))
    return Receipt(draw(st.datetimes(timezones=st.just(UTC))).replace(microsecond=0), frozenset(held), names, streams)


@given(receipts())
def test_a_receipt_is_read_as_it_was_written(receipt: Receipt):
    read = Receipt.parse(receipt.to_bytes())
    assert read == receipt
    assert read.digest == receipt.digest


def test_the_digest_is_that_of_the_document_however_compressed():
    document = gzip.decompress(RECEIPT.to_bytes())
    assert Receipt.parse(gzip.compress(document, 1)).digest == Digest.of(document)


def test_a_receipt_knows_the_serial_of_each_stream():
    assert RECEIPT.serial_of("hub-0a1b2c3d") == 7
    assert RECEIPT.serial_of("another") is None


def test_a_receipt_has_little_more_than_the_digests():
    """100 000 blobs with 33 000 names are 3.4 MB; these are a fifth of them."""
    held = [Digest.of(b"%d" % number) for number in range(20_000)]
    names = {f"acme/driver-{number // 50}:1.0.{number % 50}": held[number] for number in range(0, 20_000, 3)}
    receipt = Receipt(NOW, frozenset(held), names)
    content = receipt.to_bytes()
    assert len(content) < 680_000
    assert Receipt.parse(content) == receipt


@given(st.binary(max_size=200))
def test_other_bytes_are_no_receipt(content: bytes):
    for given_bytes in (content, gzip.compress(content), gzip.compress(content + b"\n")):
        with pytest.raises(BundleInvalid):
            Receipt.parse(given_bytes)


@given(receipts(), st.data())
def test_a_changed_document_is_refused_or_is_another_receipt(receipt: Receipt, data: st.DataObject):
    document = bytearray(gzip.decompress(receipt.to_bytes()))
    place = data.draw(st.integers(0, len(document) - 1))
    document[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != document[place]))
    try:
        read = Receipt.parse(gzip.compress(bytes(document)))
    except BundleInvalid:
        return
    assert read.digest == Digest.of(bytes(document))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"streams":{"hub-0a1b2c3d":7}', b'"streams":{"hub-0a1b2c3d":"7"}'),
        (b'"streams":{"hub-0a1b2c3d":7}', b'"streams":{"hub-0a1b2c3d":1e999}'),
        (b'"streams":{"hub-0a1b2c3d":7}', b'"streams":{"../x":7}'),
        (b'"streams":{"hub-0a1b2c3d":7}', b'"streams":[]'),
        (b'"sha512":1', b'"sha512":-1'),
        (b'"sha512":1', b'"sha512":1000000000000'),
        (b'"sha512":1', b'"sha512":[]'),
        (b'"acme/driver":[{"1":', b'"acme/driver":[{"1":-'),
        (b'"acme/driver":[{"1":', b'"../driver":[{"1":'),
        (b'"acme/driver":[{"1":', b'"acme/driver":[{"1":9'),
        (b'"created":"2026', b'"created":"0001-01-01T00:00:00+23:59","x":"'),
        (b'"created":"2026', b'"created":"'),
        (b'"format":1', b'"format":2'),
    ],
)
def test_a_wrong_field_is_refused(before: bytes, after: bytes):
    document = gzip.decompress(RECEIPT.to_bytes())
    assert before in document
    with pytest.raises(BundleInvalid):
        Receipt.parse(gzip.compress(document.replace(before, after)))


def test_a_bomb_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mirror.bundle.delta.receipt._MOST_DOCUMENT_BYTES", 2**20)
    with pytest.raises(BundleInvalid, match="too large"):
        Receipt.parse(gzip.compress(bytes(2**21)))
