"""Valid, broken and hostile layers."""

from __future__ import annotations

import random
import subprocess
import sys
import tarfile
import zlib
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mirror.oci import Digest
from mirror.plugin.rootfs.layer import LayerReader
from mirror.plugin.rootfs.layer_facts import LayerFacts, LayerProblem
from mirror.plugin.rootfs.layer_limits import ALLOWANCE_BYTES, DEFAULT_LIMITS, LayerLimits
from tests.support.layers import BLOCK, DRIVER, END, LAYER, TAR, entry, read, tar, zipped

NOISE = random.Random(1).randbytes(300_000)
LARGE = zipped(tar(entry("noise", NOISE), DRIVER))


def test_a_layer_is_read_to_its_end() -> None:
    assert read(LAYER) == LayerFacts(
        size_bytes=len(LAYER), compressed=True, diff_id=Digest.of(TAR), tar_bytes=len(TAR), entries=2
    )


def test_a_plain_tar_is_its_own_diff_id() -> None:
    facts = read(TAR)
    assert (facts.compressed, facts.diff_id, facts.problem) == (False, Digest.of(TAR), None)


@pytest.mark.parametrize("parts", [2, 3, 700])
def test_gzip_streams_one_after_the_other_are_one(parts: int) -> None:
    step = len(TAR) // parts + 1
    layer = b"".join(zipped(TAR[start : start + step]) for start in range(0, len(TAR), step))
    assert read(layer).diff_id == Digest.of(TAR)


PAX = tarfile.PAX_FORMAT


@pytest.mark.parametrize(
    ("content", "entries"),
    [
        (tar(), 0),
        (b"", 0),
        (tar(DRIVER, end=b""), 1),
        (tar(DRIVER, end=bytes(BLOCK)), 1),
        (tar(DRIVER, end=END * 30), 1),
        (tar(DRIVER)[: BLOCK + 4 + 700], 1),
        (tar(entry("n" * 300, b"x", form=tarfile.GNU_FORMAT), DRIVER), 2),
        (tar(entry("n" * 3000, b"x", form=PAX), DRIVER), 2),
        (tar(entry("n" * 90_000, b"x", form=PAX), DRIVER), 2),
        (tar(entry("f", b"x", form=PAX, pax={"SCHILY.xattr.user.a": "b" * 5000}), DRIVER), 2),
        (tar(entry("f", b"x", form=tarfile.USTAR_FORMAT)), 1),
        # The size in the header is 0 and in the PAX header 700, as for files of 8 GiB and more.
        (tar(entry("f", b"x" * 700, size=0, form=PAX, pax={"size": "700"}), DRIVER), 2),
        # Entries of these types have no content, so their size is ignored.
        *[(tar(entry("l", kind=kind, size=BLOCK), DRIVER), 2) for kind in (b"1", b"2", b"3", b"4", b"5", b"6")],
        (tar(entry("old/", kind=b"\0", size=BLOCK), DRIVER), 2),
        # Entries of all other types have content.
        (tar(entry("f", b"x" * 5, kind=b"\0"), DRIVER), 2),
        (tar(entry("x", kind=b"x"), DRIVER), 1),
        (tar(entry("g", b"13 comment=a\n", kind=b"g"), DRIVER), 1),
    ],
)
def test_tars_of_every_kind(content: bytes, entries: int) -> None:
    facts = read(zipped(content))
    assert (facts.entries, facts.problem) == (entries, None)
    assert facts.diff_id == Digest.of(content)


def extended(content: bytes) -> bytes:
    return entry("x", content, kind=b"x")


@pytest.mark.parametrize(
    ("layer", "problem"),
    [
        (b"<html>", LayerProblem.NOT_GZIP),
        (NOISE, LayerProblem.NOT_GZIP),
        (bytes(BLOCK) + NOISE, LayerProblem.NOT_GZIP),
        (b"\x28\xb5\x2f\xfd" + NOISE, LayerProblem.ZSTD),
        (b"BZh9" + NOISE, LayerProblem.NOT_GZIP),
        (b"\x1f\x8b", LayerProblem.GZIP_TRUNCATED),
        (b"\x1f\x8b" + NOISE, LayerProblem.GZIP_BROKEN),
        (LAYER[:-1], LayerProblem.GZIP_TRUNCATED),
        (LAYER[:-9], LayerProblem.GZIP_TRUNCATED),
        (LAYER[:-1] + b"?", LayerProblem.GZIP_BROKEN),
        (LARGE[:100_000], LayerProblem.GZIP_TRUNCATED),
        # A failed 'docker plugin create' leaves partial data, and the next create appends its layer.
        (LARGE[:100_000] + LARGE, LayerProblem.GZIP_BROKEN),
        (LAYER + LAYER, LayerProblem.TAR_TRAILING),
        (LAYER + b"\0", LayerProblem.GZIP_TRAILING),
        (LAYER + b"garbage", LayerProblem.GZIP_TRAILING),
        (LAYER + zipped(bytes(BLOCK)) + b"garbage", LayerProblem.GZIP_TRAILING),
        (zipped(b"garbage"), LayerProblem.NOT_TAR),
        (zipped(NOISE), LayerProblem.NOT_TAR),
        (zipped(TAR + b"garbage"), LayerProblem.TAR_TRAILING),
        (zipped(tar(DRIVER, end=bytes(BLOCK)) + NOISE), LayerProblem.TAR_BROKEN),
        (zipped(tar(DRIVER, end=b"") + NOISE), LayerProblem.TAR_BROKEN),
        (zipped(DRIVER[: BLOCK + 3]), LayerProblem.TAR_TRUNCATED),
        (zipped(DRIVER[: BLOCK + 703]), LayerProblem.TAR_TRUNCATED),
        (zipped(DRIVER + b"garbage"), LayerProblem.TAR_TRUNCATED),
        (zipped(extended(b"13 comment=a\n")[:-BLOCK]), LayerProblem.TAR_TRUNCATED),
        *[(zipped(tar(entry("f", b"x", kind=kind), DRIVER)), LayerProblem.ENTRY_TYPE) for kind in (b"S", b"7", b"Z")],
        (zipped(tar(entry("f", size=-1), DRIVER)), LayerProblem.TAR_BROKEN),
        (zipped(tar(entry("f", size=2**60), DRIVER)), LayerProblem.TAR_TRUNCATED),
        (zipped(tar(entry("x", bytes(2 * 1024 * 1024), kind=b"x"))), LayerProblem.TAR_BROKEN),
        (zipped(tar(entry("x", size=2**60, kind=b"L"))), LayerProblem.TAR_BROKEN),
        *[
            (zipped(tar(extended(records), DRIVER)), LayerProblem.TAR_BROKEN)
            for records in (
                b"x",
                b"5 a=\n6 b",
                b"4 a=\n",
                b"99 a=b\n",
                b"0 a=b\n",
                b"6 size\n",
                b"10 size=-1\n",
                b"9 size=\n",
            )
        ],
    ],
)
def test_what_no_engine_unpacks(layer: bytes, problem: LayerProblem) -> None:
    facts = read(layer)
    assert facts.problem is problem
    assert (facts.size_bytes, facts.diff_id) == (len(layer), None)


EXTENDED = tar(entry("f", b"x" * 700, size=0, form=PAX, pax={"size": "700"}), entry("n" * 300), DRIVER)


def changed(layer: bytes, places: list[int]) -> bytes:
    content = bytearray(layer)
    for place in places:
        content[place % len(content)] ^= 1 + place % 255
    return bytes(content)


LAYERS = st.one_of(
    st.binary(max_size=2000),
    st.binary(max_size=2000).map(zipped),
    st.builds(changed, st.sampled_from([TAR, LAYER, LARGE, EXTENDED]), st.lists(st.integers(0), max_size=3)),
    st.builds(changed, st.sampled_from([TAR, EXTENDED]), st.lists(st.integers(0), max_size=3)).map(zipped),
    st.lists(st.sampled_from([LAYER, LARGE[:70_000], b"\0", zipped(b""), zipped(END)]), max_size=4).map(b"".join),
)


@given(LAYERS, st.data())
@example(LARGE, None)
@settings(deadline=None)
def test_how_it_is_cut_changes_nothing(layer: bytes, data: st.DataObject | None) -> None:
    cuts = range(0, len(layer), 997) if data is None else data.draw(st.lists(st.integers(0, len(layer)), max_size=6))
    assert read(layer, cuts) == read(layer)


@given(LAYERS)
@settings(deadline=None)
def test_a_layer_is_whole_or_has_a_problem(layer: bytes) -> None:
    facts = read(layer)
    assert (facts.diff_id is None) == (facts.problem is not None)
    if facts.diff_id is not None and facts.compressed:
        content, rest = b"", layer
        while rest:
            stream = zlib.decompressobj(wbits=31)
            content += stream.decompress(rest)
            assert stream.eof
            rest = stream.unused_data
        assert facts.diff_id == Digest.of(content)


def test_a_bomb_is_left_alone_beyond_its_limit() -> None:
    bomb = zipped(tar(entry("zeros", bytes(50_000_000))))
    assert read(bomb, limits=LayerLimits(layer_bytes=60_000_000)).problem is None
    facts = read(bomb, limits=LayerLimits(layer_bytes=10_000_000))
    assert facts.problem is LayerProblem.TOO_LARGE
    assert facts.tar_bytes <= 10_000_000 + 1024 * 1024


def test_what_is_no_good_is_not_read_on() -> None:
    reader = LayerReader(10**12, DEFAULT_LIMITS)
    reader.feed(b"garbage" * 100_000)
    assert reader.settled
    assert reader.finish().size_bytes == 10**12


def test_entries_without_end_are_left_alone() -> None:
    layer = zipped(tar(*[entry("f")] * 1000))
    assert read(layer, limits=LayerLimits(entries=1000)).entries == 1000
    facts = read(layer, limits=LayerLimits(entries=999))
    assert (facts.problem, facts.entries) == (LayerProblem.TOO_MANY_ENTRIES, 999)


def test_gzip_streams_without_end_are_left_alone() -> None:
    layer = zipped(b"") * 1000
    assert read(layer, limits=LayerLimits(entries=1000)).problem is None
    assert read(layer, limits=LayerLimits(entries=999)).problem is LayerProblem.TOO_MANY_ENTRIES


def test_extended_headers_without_end_are_left_alone() -> None:
    record = b"1000000 comment=" + b"a" * (1_000_000 - 17) + b"\n"
    layer = zipped(tar(*[entry("x", record, kind=b"x")] * 70, DRIVER), level=1)
    assert read(layer).problem is LayerProblem.TOO_MANY_ENTRIES


MEMORY = """
import resource, zlib, sys
from mirror.plugin.rootfs.layer import LayerReader
from mirror.plugin.rootfs.layer_limits import LayerLimits
from tests.support.layers import entry
header, block = entry("zeros", size=2**40), bytes(1 << 20)
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
compressor = zlib.compressobj(1, wbits=31)
bomb = compressor.compress(header)
for _ in range(400): bomb += compressor.compress(block)
bomb += compressor.flush()
before = peak()
reader = LayerReader(len(bomb), LayerLimits(layer_bytes=300 << 20, ratio=1100))
reader.feed(bomb)
print(reader.finish().problem.name, peak() - before)
"""


def test_memory_stays_flat() -> None:
    """The layer has 400 MiB of zeros in less than two compressed MiB, passed in one piece."""
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    problem, grown_bytes = done.stdout.split()
    assert problem == "TOO_LARGE"
    assert int(grown_bytes) < 16 * 1024 * 1024


def bomb(mebibytes: int) -> bytes:
    return zipped(tar(entry("zeros", bytes(mebibytes << 20))), level=9)


def test_a_bomb_is_known_long_before_it_is_unpacked() -> None:
    layer = bomb(200)
    facts = read(layer)
    assert facts.problem is LayerProblem.TOO_DENSE
    assert facts.tar_bytes <= ALLOWANCE_BYTES + DEFAULT_LIMITS.ratio * len(layer) + 1024 * 1024


def test_zeros_of_a_reasonable_number_are_no_bomb() -> None:
    assert read(bomb(100)).problem is None
    assert read(bomb(200), limits=LayerLimits(ratio=1100)).problem is None


def test_no_step_is_long_and_none_is_for_nothing() -> None:
    """64 KiB of gzip can unpack to 64 MiB, so steps are measured by their output."""
    layer = bomb(100)
    reader = LayerReader(len(layer), DEFAULT_LIMITS)
    costs = list(reader.steps(layer, last=True))
    assert max(costs) <= 1024 * 1024 + 8 * 1024 * 3
    assert sum(costs) >= 100 << 20
    assert reader.finish().problem is None


def test_headers_and_members_cost_more_than_their_bytes() -> None:
    def cost(layer: bytes) -> int:
        return sum(LayerReader(len(layer), DEFAULT_LIMITS).steps(layer, last=True))

    assert cost(zipped(tar(*[entry("f")] * 1000))) >= 1000 * 8 * 1024
    assert cost(zipped(b"") * 1000) >= 999 * 16 * 1024


@given(st.lists(st.integers(0, len(LAYER)), max_size=5))
def test_steps_give_what_feeding_gives(cuts: list[int]) -> None:
    reader = LayerReader(len(LAYER), DEFAULT_LIMITS)
    places = [0, *sorted(cuts), len(LAYER)]
    for start, stop in pairwise(places):
        for _ in reader.steps(LAYER[start:stop], last=stop == places[-1] and start == places[-2]):
            pass
    assert reader.finish() == read(LAYER)
