"""Gzip streams compressed by several threads."""

from __future__ import annotations

import gzip
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.authoring.files.block_gzip import BLOCK_BYTES, BlockGzip
from tests.support.layers import entry, read, tar

WORDS = b" ".join(random.Random(7).choices([b"plugin", b"layer", b"blob", b"tag", bytes(9)], k=700_000))


def zipped(content: bytes, threads: int) -> bytes:
    with BlockGzip(threads) as stream:
        whole = len(content) - len(content) % BLOCK_BYTES
        parts = [stream.add(content[start : start + BLOCK_BYTES]) for start in range(0, whole, BLOCK_BYTES)]
        return b"".join([*parts, stream.finish(content[whole:])])


@pytest.mark.parametrize("size_bytes", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 5])
def test_one_stream_comes_out_whatever_the_number_of_threads(size_bytes: int) -> None:
    content = WORDS[:size_bytes]
    once = zipped(content, 1)
    assert gzip.decompress(once) == content
    assert zipped(content, 2) == zipped(content, 4) == once


def test_blocks_know_what_stood_before_them() -> None:
    assert len(zipped(WORDS, 2)) < 1.02 * len(gzip.compress(WORDS, 6))


def test_a_layer_in_it_is_one_that_engines_read() -> None:
    facts = read(zipped(tar(entry("bin/driver", WORDS)), 2))
    assert (facts.problem, facts.entries) == (None, 1)


@settings(deadline=None)  # threads start late on a busy machine
@given(content=st.binary(max_size=400))
def test_any_content_comes_back(content: bytes) -> None:
    assert gzip.decompress(zipped(content * 40, 2)) == content * 40
