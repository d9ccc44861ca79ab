"""Fingerprints that identify a plugin's content."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Digest
from mirror.plugin.policy import fingerprint

DIGESTS = st.lists(st.integers(0, 4).map(bytes).map(Digest.of), min_size=1, max_size=5)


@given(DIGESTS, DIGESTS)
def test_content_is_a_config_and_a_set_of_layers(one: list[Digest], other: list[Digest]) -> None:
    is_same = one[0] == other[0] and set(one[1:]) == set(other[1:])
    assert (fingerprint.content_fingerprint(one) == fingerprint.content_fingerprint(other)) is is_same


def test_content_is_told_by_one_algorithm_alone() -> None:
    with pytest.raises(ValueError, match="sha256"):
        fingerprint.content_fingerprint([Digest.of(b"", "sha512")])


def test_bytes_have_a_fingerprint_for_each_algorithm() -> None:
    texts = fingerprint.bytes_fingerprints(b"{}")
    assert texts == (str(Digest.of(b"{}")), str(Digest.of(b"{}", "sha512")))
    assert not any(map(fingerprint.is_content_fingerprint, texts))
    of_content = fingerprint.content_fingerprint([Digest.of(b"{}")])
    assert fingerprint.is_content_fingerprint(of_content)
    assert len(of_content) <= 140
