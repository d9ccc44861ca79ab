import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Digest
from mirror.oci.digest import ALGORITHMS, new_hasher
from mirror.oci.errors import DigestInvalid, MirrorError

contents = st.binary(max_size=200)
algorithms = st.sampled_from(ALGORITHMS)


@given(contents, algorithms)
def test_parse_undoes_str(content, algorithm):
    digest = Digest.of(content, algorithm)
    assert Digest.parse(str(digest)) == digest


@given(contents, algorithms)
def test_of_is_what_hashlib_says(content, algorithm):
    assert Digest.of(content, algorithm).hex == hashlib.new(algorithm, content).hexdigest()


@given(st.text() | st.from_regex(r"(sha256|sha512|md5):[0-9a-fA-F]{0,130}", fullmatch=True))
def test_parse_raises_only_errors_of_the_tree(text):
    try:
        digest = Digest.parse(text)
    except MirrorError as error:
        assert isinstance(error, DigestInvalid)
    else:
        assert str(digest) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "A" * 64,
        "sha256:" + "g" * 64,
        "md5:" + "a" * 32,
        "sha512:" + "a" * 64,
        "sha256:" + "a" * 64 + "\n",
        " sha256:" + "a" * 64,
    ],
)
def test_what_is_no_digest(text):
    with pytest.raises(DigestInvalid):
        Digest.parse(text)


def test_an_error_shows_hostile_text_shortened():
    with pytest.raises(DigestInvalid) as caught:
        Digest.parse("sha256:" + "a" * 100_000)
    assert len(str(caught.value)) < 300


def test_a_hasher_of_an_unknown_algorithm():
    with pytest.raises(DigestInvalid, match="md5"):
        new_hasher("md5")
