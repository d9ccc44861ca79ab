"""Blobs that cost nothing to make."""

import hashlib

import pytest

from tests.bench.content import MIB, Bodies, Body


@pytest.mark.parametrize("size_bytes", [17, 1000, MIB, 3 * MIB + 5])
def test_a_body_has_the_size_and_the_digest_it_says(size_bytes: int) -> None:
    body = Bodies(size_bytes).fresh()
    content = b"".join(body.pieces())
    assert len(content) == body.size_bytes == size_bytes
    assert body.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_no_two_bodies_are_the_same() -> None:
    bodies = Bodies(MIB)
    assert len({bodies.fresh().digest for _ in range(5)}) == 5


def test_a_body_of_given_bytes_is_those_bytes() -> None:
    body = Body.of(b"config")
    assert b"".join(body.pieces()) == b"config"
    assert body.digest == f"sha256:{hashlib.sha256(b'config').hexdigest()}"
