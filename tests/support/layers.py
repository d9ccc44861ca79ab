"""Layers for tests: tar archives of any kind, and their readings."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable, Mapping
from itertools import pairwise

from mirror.plugin.rootfs.layer import LayerReader
from mirror.plugin.rootfs.layer_facts import LayerFacts
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS, LayerLimits

BLOCK = 512
END = bytes(2 * BLOCK)


def entry(
    name: str = "bin/driver",
    content: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    size: int | None = None,
    form: int = tarfile.GNU_FORMAT,
    pax: Mapping[str, str] | None = None,
    mode: int = 0o644,
) -> bytes:
    """Return a tar entry: its header and padded content. ``size`` replaces the true size in the header."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = mode
    info.size = len(content) if size is None else size
    info.pax_headers = dict(pax or {})
    return info.tobuf(form, "utf-8", "surrogateescape") + content + bytes(-len(content) % BLOCK)


def tar(*entries: bytes, end: bytes = END) -> bytes:
    """Return a tar archive of these entries."""
    return b"".join(entries) + end


def zipped(content: bytes, level: int = 6) -> bytes:
    """Return one gzip stream, with equal bytes in each call."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0, compresslevel=level) as stream:
        stream.write(content)
    return buffer.getvalue()


def read(layer: bytes, cuts: Iterable[int] = (), limits: LayerLimits = DEFAULT_LIMITS) -> LayerFacts:
    """Read a layer in pieces that end at ``cuts``."""
    reader = LayerReader(len(layer), limits)
    places = [0, *sorted(cuts), len(layer)]
    for start, stop in pairwise(places):
        reader.feed(layer[start:stop])
    return reader.finish()


DRIVER = entry("bin/driver", b"\x7fELF" + bytes(700))
TAR = tar(entry("bin", kind=tarfile.DIRTYPE), DRIVER)
LAYER = zipped(TAR)
