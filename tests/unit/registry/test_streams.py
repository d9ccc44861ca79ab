import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Digest
from mirror.oci.errors import DigestInvalid, UpstreamProtocolError
from mirror.registry.streams import count_chunks, single_chunk, verify_chunks


async def stream(chunks):
    for chunk in chunks:
        yield chunk


async def passed_on(chunks, digest, size_bytes):
    """Return the content that passed through, and the error that ended the stream."""
    received = []
    try:
        async for chunk in verify_chunks(stream(chunks), digest, size_bytes, UpstreamProtocolError):
            received.append(chunk)  # noqa: PERF401 - what came before the error counts
    except UpstreamProtocolError as error:
        return b"".join(received), error
    return b"".join(received), None


@given(st.lists(st.binary(max_size=20), max_size=6), st.sampled_from(["sha256", "sha512"]))
async def test_right_content_passes_whole(chunks, algorithm):
    content = b"".join(chunks)
    assert await passed_on(chunks, Digest.of(content, algorithm), len(content)) == (content, None)


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=6), st.binary(min_size=1, max_size=5))
async def test_content_that_is_too_long_never_passes_whole(chunks, surplus):
    content = b"".join(chunks)
    received, error = await passed_on([*chunks, surplus], Digest.of(content), len(content))
    assert len(received) < len(content)
    assert "longer" in str(error)


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=6))
async def test_the_last_chunk_of_wrong_content_never_leaves(chunks):
    content = b"".join(chunks)
    received, error = await passed_on(chunks, Digest.of(content + b"x"), len(content))
    assert received == b"".join(chunks[:-1])
    assert error is not None


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=6), st.integers(1, 9))
async def test_content_that_ends_early(chunks, lacking):
    content = b"".join(chunks)
    _, error = await passed_on(chunks, Digest.of(content), len(content) + lacking)
    assert error.detail["received"] == str(len(content))


async def test_the_blame_is_the_caller_s():
    with pytest.raises(DigestInvalid):
        async for _ in verify_chunks(single_chunk(b"a"), Digest.of(b"b"), 1, DigestInvalid):
            pass


async def test_counted_tells_each_length():
    lengths = []
    assert [chunk async for chunk in count_chunks(stream([b"ab", b"c"]), lengths.append)] == [b"ab", b"c"]
    assert lengths == [2, 1]
