"""By what a plugin's content is recognised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.digest import Digest
from mirror.plugin import fingerprint

DIGESTS = st.lists(st.binary(max_size=4).map(Digest.of), max_size=5)


@given(DIGESTS, DIGESTS)
def test_content_is_the_same_where_every_digest_is_in_order(one: list[Digest], other: list[Digest]) -> None:
    assert (fingerprint.of_content(one) == fingerprint.of_content(other)) is (one == other)


def test_content_is_told_by_one_algorithm_alone() -> None:
    with pytest.raises(ValueError, match="sha256"):
        fingerprint.of_content([Digest.of(b"", "sha512")])


def test_bytes_have_a_fingerprint_for_each_algorithm() -> None:
    texts = fingerprint.of_bytes(b"{}")
    assert texts == (str(Digest.of(b"{}")), str(Digest.of(b"{}", "sha512")))
    assert not any(map(fingerprint.is_of_content, texts))
    assert fingerprint.is_of_content(fingerprint.of_content([]))
    assert len(fingerprint.of_content([])) <= 140
