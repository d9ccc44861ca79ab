"""Files from an enemy: each is refused with an error of the tree, before much of it is read."""

from __future__ import annotations

import asyncio
import json
import tarfile
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.bundle.bundle_errors import BundleFault, BundleInvalid
from mirror.bundle.format.bundle_head import is_bundle, read_head
from mirror.bundle.format.byte_source import HOP_BYTES
from mirror.bundle.format.envelope import Envelope
from mirror.bundle.format.member import STATEMENT
from mirror.bundle.format.member_header import member_header, padding
from mirror.bundle.format.statement import PAYLOAD_TYPE
from mirror.bundle.reader import BundleReader
from mirror.bundle.verification import verify_bytes
from mirror.oci.errors import MirrorError
from mirror.registry.listing import all_repositories, all_tags
from mirror.transfer.progress_reporting import SilentProgress
from mirror.wire.pagination import PageRequest
from tests.support.builders import index
from tests.support.bundles import BuiltBundle, build, small_plugin


class CountedSource:
    """A bundle in memory that counts what is read. Implements ``ByteSource``."""

    name = "hostile.tar"

    def __init__(self, content: bytes, size_bytes: int | None = None) -> None:
        self.size_bytes = len(content) if size_bytes is None else size_bytes
        self.read_bytes = 0
        self._content = content

    async def chunks(self, start_bytes: int, size_bytes: int) -> AsyncIterator[bytes]:
        for start in range(start_bytes, start_bytes + size_bytes, HOP_BYTES):
            size = min(HOP_BYTES, start_bytes + size_bytes - start)
            self.read_bytes += size
            found = self._content[start : start + size]
            if len(found) < size:
                raise BundleInvalid("ends too early")
            yield found

    def missing(self, start_bytes: int, size_bytes: int) -> tuple[str, ...]:
        return ()

    async def damage(self, start_bytes: int, size_bytes: int) -> str:
        return f"bytes {start_bytes} and the {size_bytes} that follow"


def built() -> BuiltBundle:
    one, blobs = small_plugin(b"layer one")
    two, others = small_plugin(b"layer two", Description="two")
    both = index(one.descriptor, two.descriptor)
    return build({"acme/a:1": one, "acme/both:1": both}, [*blobs, two, *others], key_sets=[b"{}", b"{}"])


SOUND: Final = built()


async def use(content: bytes) -> dict[str, bytes]:
    """Read everything that a bundle has, as an import and a server do."""
    source = CountedSource(content)
    bundle = BundleReader(await read_head(source), source)
    found: dict[str, bytes] = {}
    async for repository in all_repositories(bundle):
        async for tag in all_tags(bundle, repository):
            manifest = await bundle.get_manifest(repository, tag)
            await bundle.list_referrers(repository, manifest.digest, None, PageRequest())
            waiting = [manifest]
            while waiting:
                each = waiting.pop()
                found[f"{repository}@{each.digest}"] = each.content
                waiting += [await bundle.get_manifest(repository, member.digest) for member in each.manifests]
                for blob in each.blobs:
                    async with bundle.open_blob(repository, blob.digest) as opened:
                        found[f"{repository}/{blob.digest}"] = b"".join([chunk async for chunk in opened])
    await verify_bytes(bundle.head, source, SilentProgress())
    return found


EXPECTED: Final = asyncio.run(use(SOUND.content))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return the sound bundle with some bytes changed, inserted, removed, moved or doubled."""
    content = bytearray(SOUND.content)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(content) - 1))
        end = min(len(content), place + draw(st.sampled_from([1, 8, 512, 4096])))
        match draw(st.sampled_from(["flip", "insert", "remove", "double", "end"])):
            case "flip":
                content[place] ^= draw(st.integers(1, 255))
            case "insert":
                content[place:place] = draw(st.binary(min_size=1, max_size=9) | st.just(bytes(512)))
            case "remove":
                del content[max(place, 1) : end]
            case "double":
                content[place:place] = content[place:end]
            case "end":
                del content[max(place, 1) :]
    return bytes(content)


@given(mutated())
async def test_a_touched_bundle_is_refused_or_says_the_same(content: bytes) -> None:
    try:
        found = await use(content)
    except BundleFault:
        return
    # Only hints for people, such as the name of a key, may change unnoticed.
    assert found == EXPECTED
    assert len(content) == len(SOUND.content)


def with_statement(payload: bytes) -> bytes:
    """Return the sound bundle with another statement, as somebody with a key could make it."""
    envelope = Envelope(PAYLOAD_TYPE, payload).to_bytes()
    (placed,) = (each for each in SOUND.layout.members if each.member.path == STATEMENT)
    member = member_header(STATEMENT, len(envelope)) + envelope + padding(len(envelope))
    return SOUND.content[: placed.start_bytes] + member + SOUND.content[placed.end_bytes :]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def other_statements(draw: st.DrawFn) -> bytes:
    """Return the sound statement with a value replaced, removed, doubled or moved."""
    value: Any = json.loads(SOUND.envelope.payload)
    for _ in range(draw(st.integers(1, 3))):
        holder, key = value, draw(st.sampled_from(sorted(value)))
        while isinstance(holder[key], dict | list) and holder[key] and draw(st.booleans()):
            holder = holder[key]
            keys = sorted(holder) if isinstance(holder, dict) else range(len(holder))
            key = draw(st.sampled_from(keys))
        match draw(st.sampled_from(["replace", "remove", "double", "swap"])):
            case "remove" if holder is not value:
                del holder[key]
            case "double" if isinstance(holder, list):
                holder.insert(draw(st.integers(0, len(holder))), holder[key])
            case "swap" if isinstance(holder, list):
                other = draw(st.integers(0, len(holder) - 1))
                holder[key], holder[other] = holder[other], holder[key]
            case _:
                holder[key] = draw(JSON)
    return json.dumps(value).encode()


@given(other_statements())
async def test_another_statement_is_refused_or_describes_the_same_bytes(payload: bytes) -> None:
    try:
        found = await use(with_statement(payload))
    except MirrorError:
        return
    assert found == EXPECTED


@given(st.binary(max_size=2000))
async def test_any_bytes_are_refused(content: bytes) -> None:
    assert not await is_bundle(CountedSource(content))
    with pytest.raises(BundleInvalid):
        await read_head(CountedSource(content))


def entry(name: str, kind: bytes = tarfile.REGTYPE, **more: Any) -> bytes:
    """Return what Python writes for an entry, with the numbers of a device, which Python writes for devices only."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, 0o644
    for key, value in more.items():
        setattr(info, key, value)
    written = info.tobuf(tarfile.PAX_FORMAT)
    block = written[-512:-183] + b"0000000\0" * 2 + written[-167:]
    checksum = sum(block[:148]) + 8 * ord(" ") + sum(block[156:])
    return written[:-512] + block[:148] + b"%06o\0 " % checksum + block[156:]


DOCUMENTS_BYTES: Final = SOUND.layout.blobs()[0].start_bytes
LAYER_PATH: Final = SOUND.layout.members[-1].member.path
LAYER_SIZE: Final = SOUND.layout.members[-1].member.size_bytes
HEADERS: Final = {
    "another name": entry("../../etc/passwd", size=LAYER_SIZE),
    "an absolute name": entry("/" + LAYER_PATH, size=LAYER_SIZE),
    "a symbolic link": entry(LAYER_PATH, tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a hard link": entry(LAYER_PATH, tarfile.LNKTYPE, linkname="index.json"),
    "a device": entry(LAYER_PATH, tarfile.CHRTYPE),
    "a folder": entry(LAYER_PATH, tarfile.DIRTYPE),
    "a sparse file": entry(LAYER_PATH, tarfile.GNUTYPE_SPARSE, size=LAYER_SIZE),
    "another size": entry(LAYER_PATH, size=LAYER_SIZE - 1),
    "an owner": entry(LAYER_PATH, size=LAYER_SIZE, uid=1),
    "a name of an owner": entry(LAYER_PATH, size=LAYER_SIZE, uname="root"),
    "a time": entry(LAYER_PATH, size=LAYER_SIZE, mtime=1),
    "a set-uid bit": entry(LAYER_PATH, size=LAYER_SIZE, mode=0o4644),
    "a doubled entry": SOUND.layout.members[-2].header,
    "zeros": bytes(512),
}


def test_the_entry_differs_in_nothing_else() -> None:
    assert entry(LAYER_PATH, size=LAYER_SIZE) == SOUND.layout.members[-1].header


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
async def test_a_header_of_another_kind(header: bytes) -> None:
    placed = SOUND.layout.members[-1]
    content = SOUND.content[: placed.start_bytes] + header + SOUND.content[placed.content_bytes :]
    assert len(content) == len(SOUND.content)
    with pytest.raises(BundleInvalid, match="damaged"):
        await use(content)


@pytest.mark.parametrize(
    "records", [{"path": "/etc/passwd"}, {"GNU.sparse.size": "9"}, {"comment": "x"}, {"size": "1"}], ids=str
)
async def test_an_entry_with_other_records(records: dict[str, str]) -> None:
    hostile = entry(LAYER_PATH, size=LAYER_SIZE, pax_headers=records)
    content = SOUND.content[: SOUND.layout.members[-1].start_bytes] + hostile
    for whole in (content + SOUND.content[-1024:], content[: len(SOUND.content)].ljust(len(SOUND.content), b"\0")):
        with pytest.raises(BundleInvalid):
            await use(whole)


async def test_entries_beside_the_statement() -> None:
    extra = entry("extra", size=0)
    for content in (
        extra + SOUND.content,
        SOUND.content[:-1024] + extra + SOUND.content[-1024:],
        SOUND.content + extra + bytes(1024),
    ):
        with pytest.raises(BundleInvalid):
            await read_head(CountedSource(content))


async def test_ten_million_entries_are_not_read() -> None:
    begun = SOUND.content[:-1024] + entry("a") * 100
    source = CountedSource(begun, size_bytes=len(begun) + 10_000_000 * 512)
    with pytest.raises(BundleInvalid, match="its statement gives it"):
        await read_head(source)
    assert source.read_bytes <= DOCUMENTS_BYTES + 512


async def test_a_statement_of_another_size_than_the_file_is_refused_before_the_rest_is_read() -> None:
    value = json.loads(SOUND.envelope.payload)
    value["predicate"]["members"][-1][1] = 2**50
    source = CountedSource(with_statement(json.dumps(value).encode()))
    with pytest.raises(BundleInvalid, match="its statement gives it"):
        await read_head(source)
    assert source.read_bytes <= DOCUMENTS_BYTES + 512


@pytest.mark.parametrize(("path", "place"), [("index.json", 1), (STATEMENT, 2)])
async def test_a_document_larger_than_its_limit_is_not_read(path: str, place: int) -> None:
    placed = SOUND.layout.members[place]
    huge = SOUND.content[: placed.start_bytes] + member_header(path, 2**33 - 1)
    source = CountedSource(huge, size_bytes=2**34)
    with pytest.raises(BundleInvalid, match="not where it should be"):
        await read_head(source)
    assert source.read_bytes <= 3 * 512


async def test_key_sets_have_a_limit_together() -> None:
    value = json.loads(SOUND.envelope.payload)
    members = value["predicate"]["members"]
    members[2][1], members[3][1] = 2**26, 2**27
    content = with_statement(json.dumps(value).encode())
    size = len(content) + 2**26 + 2**27 - 2 * 512 + (-(2**26) % 512)
    source = CountedSource(content, size_bytes=size)
    with pytest.raises(BundleInvalid, match="the documents are larger"):
        await read_head(source)
