"""Hostile tar archives: each command either succeeds or fails with an error of the project."""

from __future__ import annotations

import asyncio
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirror.authoring.files.extract import remove_folder
from mirror.authoring.plugin_content import read_content
from mirror.authoring.unpack import unpack
from mirror.filters.plugin_checks import PluginChecker, PluginChecks
from mirror.filters.shared_layers import SharedLayerReader
from mirror.oci.errors import ManifestInvalid, MirrorError
from mirror.plugin.findings.finding import Finding
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS
from mirror.registry.memory import MemoryRegistry
from mirror.transfer.progress_reporting import SilentProgress
from tests.harness.saved_image import layout
from tests.support.builders import hold, plugin
from tests.support.layers import END, entry, tar, zipped
from tests.unit.authoring.conftest import REPOSITORY, TAG, packed, recipe

CONFIG = json.dumps({"Entrypoint": ["/bin/driver"], "Interface": {"Types": ["docker.volumedriver/1.0"]}}).encode()


async def forgotten(_digest: object, _findings: tuple[Finding, ...]) -> None:
    """Discard the findings."""


def record(key: str, value: str) -> bytes:
    said = f" {key}={value}\n".encode("utf-8", "surrogateescape")
    length = len(said) + len(str(len(said)))
    return str(length if len(str(length)) + len(said) == length else length + 1).encode() + said


def link(name: str, target: str, kind: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info.tobuf(tarfile.GNU_FORMAT)


def numbered(number: bytes, place: int) -> bytes:
    """Return a tar entry with arbitrary bytes in one of its number fields."""
    block = bytearray(entry("numbered"))
    block[place : place + len(number)] = number
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


_NAMES = st.sampled_from(
    ["a", "a/b", "a/b/c", "/e", "b/../c", "../d", ".", "", "..", "bin/driver", ".wh.a", "a/.wh..wh..opq", "d/" * 1000]
)
_KEYS = st.sampled_from([
    *("path", "linkpath", "size", "uid", "gid", "mtime", "hdrcharset", "SCHILY.xattr.user.a", "SCHILY.xattr.", "atime"),
    *(f"GNU.sparse.{what}" for what in ("major", "minor", "map", "size", "realsize", "numblocks", "name")),
])  # fmt: skip
_VALUES = st.one_of(
    st.sampled_from(
        ["", "0", "1", "-1", "5", "9" * 30, "1e300", "nan", "0,-5,3", "a\0b", "../x", "BINARY", "x" * 5000]
    ),
    st.text(max_size=8),
)
_RECORDS = st.lists(st.builds(record, _KEYS, _VALUES), max_size=4).map(b"".join) | st.binary(max_size=30)
_ENTRIES = st.one_of(
    st.builds(entry, _NAMES, st.binary(max_size=9), form=st.just(tarfile.PAX_FORMAT)),
    st.builds(lambda name: entry(name, kind=tarfile.DIRTYPE, form=tarfile.PAX_FORMAT), _NAMES),
    st.builds(link, _NAMES.filter(lambda name: len(name) < 90), _NAMES.filter(lambda name: len(name) < 90),
              st.sampled_from([tarfile.SYMTYPE, tarfile.LNKTYPE])),
    st.builds(lambda said, kind: entry("x", said, kind=kind), _RECORDS, st.sampled_from([b"x", b"g", b"L", b"K"])),
    st.builds(lambda kind, size: entry("y", b"y" * 9, kind=kind, size=size),
              st.sampled_from([b"0", b"S", b"x", b"g", b"L", b"7", b"\0", b"V", b"M", b"3"]),
              st.sampled_from([-1, 0, 9, 2**33, 2**62, 2**70])),
    st.builds(numbered, st.binary(min_size=1, max_size=8), st.sampled_from([100, 108, 116, 124, 136, 329, 337])),
    st.builds(lambda times: entry("x", record("comment", "c"), kind=b"g") * times, st.sampled_from([2, 3000])),
    st.builds(lambda times: b"".join(link(str(n), str(n - 1), tarfile.LNKTYPE) for n in range(times)), st.just(300)),
    st.builds(lambda times: b"".join(link(str(n), str(n + 1), tarfile.SYMTYPE) for n in range(times)), st.just(300)),
    st.just(link("loop", "loop", tarfile.SYMTYPE)),
    st.binary(max_size=1500),
)  # fmt: skip
_TARS = st.builds(
    lambda entries, end, cut: tar(*entries, end=end)[: cut or None],
    st.lists(_ENTRIES, max_size=8),
    st.sampled_from([END, b"", bytes(512), END + b"more"]),
    st.sampled_from([0, 0, 0, -1, -600, 700]),
)


async def holding(layer: bytes) -> MemoryRegistry:
    registry = MemoryRegistry()
    await hold(registry, REPOSITORY, [CONFIG, layer], [plugin(CONFIG, layer)], str(TAG))
    return registry


async def worked(work: asyncio.Future[object]) -> bool:
    try:
        await work
    except MirrorError as error:
        assert str(error)
        return False
    return True


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(content=_TARS)
async def test_whatever_a_layer_holds_commands_and_pushes_work_or_say_why_not(content: bytes, tmp_path: Path) -> None:
    layer = zipped(content, level=1)
    registry = await holding(layer)
    manifest = await registry.get_manifest(REPOSITORY, TAG)

    await read_content(registry, REPOSITORY, manifest, SilentProgress())  # inspect, lint, diff: findings
    checked = PluginChecks(registry, PluginChecker(forgotten, SharedLayerReader(DEFAULT_LIMITS), enforce=True))
    await worked(asyncio.ensure_future(checked.put_manifest(REPOSITORY, manifest)))
    place = tmp_path / "place"
    place.mkdir()
    try:
        done = await worked(asyncio.ensure_future(unpack(registry, REPOSITORY, TAG, place / "out", SilentProgress())))
        assert [path.name for path in place.iterdir()] == (["out"] if done else [])
    finally:
        remove_folder(place)  # pytest cannot remove folders as deep as these
    assert not place.exists()


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(content=_TARS, before=st.booleans(), inside=st.booleans())
async def test_whatever_an_image_holds_it_is_packed_or_refused(
    content: bytes,
    before: bool,
    inside: bool,
    source: Path,
    tmp_path: Path,
) -> None:
    files = [entry(name, held) for name, held in layout([content if inside else tar(entry("f", b"f"))]).items()]
    image = tmp_path / "image.tar"
    image.write_bytes(content + tar(*files) if before else tar(*files, end=b"") + content)

    await worked(asyncio.ensure_future(packed(MemoryRegistry(), recipe(source, image))))


async def test_a_hundred_thousand_global_headers(tmp_path: Path) -> None:
    headers = entry("pax_global_header", record("comment", "c"), kind=b"g") * 100_000
    registry = await holding(zipped(tar(headers, entry("bin/driver", b"driver")), level=1))
    await unpack(registry, REPOSITORY, TAG, tmp_path / "out", SilentProgress())

    assert (tmp_path / "out/rootfs/bin/driver").read_bytes() == b"driver"


async def test_a_global_header_says_nothing_of_what_follows(tmp_path: Path) -> None:
    """Go's reader returns a global header as an entry of its own and drops the local header before it."""
    said = entry("x", record("path", "elsewhere"), kind=b"x") + entry("g", record("path", "everywhere"), kind=b"g")
    registry = await holding(zipped(tar(said, entry("here", b"1"), entry("there", b"2"))))
    await unpack(registry, REPOSITORY, TAG, tmp_path / "out", SilentProgress())

    assert {path.name for path in (tmp_path / "out/rootfs").iterdir()} == {"here", "there"}


async def test_a_local_header_takes_the_place_of_one_before(tmp_path: Path) -> None:
    said = entry("x", record("path", "elsewhere"), kind=b"x") + entry("x", record("uid", "0"), kind=b"x")
    registry = await holding(zipped(tar(said, entry("here", b"1"))))
    await unpack(registry, REPOSITORY, TAG, tmp_path / "out", SilentProgress())

    assert {path.name for path in (tmp_path / "out/rootfs").iterdir()} == {"here"}


async def test_what_is_deeper_than_any_stack_is_removed_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = await holding(zipped(tar(entry("d/" * 2000 + "f", b"f", form=tarfile.PAX_FORMAT))))
    (tmp_path / "place").mkdir()

    def failing(*_: object) -> None:
        raise ManifestInvalid("no more")

    with monkeypatch.context() as patched:
        patched.setattr("mirror.authoring.files.extract.Extraction._finish", failing)
        with pytest.raises(ManifestInvalid, match="no more"):
            await unpack(registry, REPOSITORY, TAG, tmp_path / "place" / "out", SilentProgress())
    assert list((tmp_path / "place").iterdir()) == []
