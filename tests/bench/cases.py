"""The cases of the benchmark."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from tests.bench import (
    attacks,
    bundling,
    collecting,
    loads,
    looking,
    many_tags,
    packing,
    pulling,
    quotas,
    syncing,
    upkeep,
)
from tests.bench.content import GIB, KIB, MIB, TAG, Bodies, Body, plugin
from tests.bench.servers import OURS, Content, Contestant, all_running, each_fresh, mirror, running
from tests.bench.trial import Load, Trial
from tests.harness.packing import PackedPlugin
from tests.support.certificates import CertificateFiles

MANY_TAGS = 100_000
FEW_TAGS = 1_000
ONE_TAG = f"{OURS}, 1 tag"
CACHED_TAGS = f"{OURS}, any of {FEW_TAGS} tags"
BIG_PULLS = 64
BIG_PUSHES = 8
BUNDLE_BYTES = 2 * GIB
GARBAGE_FILES = 100_000
GARBAGE_FILES_QUICKLY = 2_000
SYNCED_PLUGINS = 200
SYNCED_TAGS = 5_000
SYNCED_TAGS_QUICKLY = 500
_FAR = f"{1e3 * syncing.ROUND_TRIP_SECONDS:.0f} ms away"


class Stage:
    """Content and servers that several cases read from. Everything is created on first use."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    @cached_property
    def files(self) -> CertificateFiles:
        """Certificate of all servers with TLS, with an ECDSA key on P-256."""
        return CertificateFiles.made(Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="tls-"))))

    @cached_property
    def tiny(self) -> Body:
        """Blob of 64 KiB."""
        return Bodies(64 * KIB).fresh()

    @cached_property
    def small(self) -> Body:
        """Blob of 1 MiB."""
        return Bodies(MIB).fresh()

    @cached_property
    def big(self) -> Body:
        """Blob of 256 MiB."""
        return Bodies(256 * MIB).fresh()

    @cached_property
    def content(self) -> Content:
        """Plugin of 32 MiB and both blobs."""
        return Content(_packed(32 * MIB), (self.small, self.big))

    @cached_property
    def contestants(self) -> list[Contestant]:
        """All installed servers. They run until the stage's stack is closed."""
        return self._stack.enter_context(all_running(self.content))

    @cached_property
    def tls_contestants(self) -> list[Contestant]:
        """All installed servers with TLS, and ours without. Their plugin has 1 MiB, so that handshakes matter."""
        content = Content(_packed(MIB), (self.tiny, self.small, self.big))
        return self._stack.enter_context(all_running(content, self.files))


@dataclass(frozen=True, slots=True)
class Case:
    """A case, measured in the same way for every contestant.

    Attributes:
        name: Name on the command line and in the JSON.
        title: Name in the table.
        unit: Unit of the amounts.
        opened: Prepares the case and yields its trial. Cases that only read take their content from the stage.
        seconds_at_least: Shortest measurement that gives a meaningful result.
        rounds_at_least: Number of rounds if `--rounds` asks for fewer. Set for cases with small and noisy differences.
            `--quick` ignores the value.
        rounds_at_most: Largest number of rounds, or None. Set for cases that take long.
        quick: True if `--quick` includes the case.
        missing: Returns a sentence that names a program needed only by this case, or None.
    """

    name: str
    title: str
    unit: str
    opened: Callable[[Stage], AbstractContextManager[Trial]]
    seconds_at_least: int = 1
    rounds_at_least: int = 1
    rounds_at_most: int | None = None
    quick: bool = True
    missing: Callable[[], str | None] = lambda: None


def _reading(load_of: Callable[[Stage], Load]) -> Callable[[Stage], AbstractContextManager[Trial]]:
    return lambda stage: nullcontext(Trial(stage.contestants, load_of(stage)))


def _reading_with_tls(load_of: Callable[[Stage], Load]) -> Callable[[Stage], AbstractContextManager[Trial]]:
    return lambda stage: nullcontext(Trial(stage.tls_contestants, load_of(stage)))


@contextmanager
def _pushing(stage: Stage, *, size_bytes: int, clients: int, tls: bool = False) -> Iterator[Trial]:
    """Measure pushes. Every measurement has a freshly started server that one plugin was pushed to."""
    load = loads.blob_pushes(Bodies(size_bytes), clients=clients)
    with each_fresh(Content(_packed()), stage.files if tls else None) as contestants:
        yield Trial(contestants, load)


@contextmanager
def _big_transfers(_stage: Stage) -> Iterator[Trial]:
    """Measure our server with a blob of 1 GiB."""
    bodies = Bodies(GIB, block=bytes(MIB))
    pulled = bodies.fresh()
    with mirror(Content(_packed(), (pulled,))) as server:
        load = loads.big_transfers(bodies, pulled.digest, pulls=BIG_PULLS, pushes=BIG_PUSHES)
        yield Trial([running(OURS, server)], load)


@contextmanager
def _packing(_stage: Stage, *, write: Callable[[Path], None]) -> Iterator[Trial]:
    """Measure `pack` and `tar | gzip` on a tree that `write` writes."""
    with packing.contestants(write) as (contestants, commands, size_bytes):
        yield Trial(contestants, partial(packing.runs, commands, size_bytes))


@contextmanager
def _looking(_stage: Stage) -> Iterator[Trial]:
    """Measure a second and a first `lint` of the same plugin."""
    with looking.contestants() as (contestants, looks):
        yield Trial(contestants, looks.lint)


def _bundling(
    _stage: Stage, *, trial: Callable[..., AbstractContextManager[Trial]], size_bytes: int
) -> AbstractContextManager[Trial]:
    """Measure bundles, copies and skopeo with the same bytes."""
    return trial(size_bytes=size_bytes)


def _collecting(_stage: Stage, *, garbage_files: int) -> AbstractContextManager[Trial]:
    """Measure the removal of as much garbage as there is content."""
    return collecting.collections(garbage_files=garbage_files)


def _pulling_beside_upkeep() -> AbstractContextManager[Trial]:
    # The large blob gives the scrub something to read for longer than all measurements together.
    content = Content(_packed(MIB), (Bodies(GIB, block=bytes(MIB)).fresh(),))
    return upkeep.pulls_beside(content, garbage_files=GARBAGE_FILES)


def _unchanged_tags(_stage: Stage, *, tags: int) -> AbstractContextManager[Trial]:
    """Measure syncs of one repository with many tags."""
    return syncing.unchanged_tags(tags=tags)


@contextmanager
def _one_of_many_tags(_stage: Stage) -> Iterator[Trial]:
    """Measure our server with very many tags and with one tag. Both are asked for one tag."""
    with _with_tags((MANY_TAGS, 0), (OURS, ONE_TAG)) as (contestants, _):
        yield Trial(contestants, loads.manifest_gets(TAG))


@contextmanager
def _any_of_many_tags(_stage: Stage) -> Iterator[Trial]:
    """Measure random tags of our server, with more tags than its cache holds and with fewer."""
    with _with_tags((MANY_TAGS, FEW_TAGS), (OURS, CACHED_TAGS)) as (contestants, tag_counts):
        yield Trial(contestants, loads.any_manifest_gets(tag_counts))


@contextmanager
def _with_tags(tag_counts: Sequence[int], names: Sequence[str]) -> Iterator[tuple[list[Contestant], dict[int, int]]]:
    """Start one server of ours for each number of additional tags. Yield the contestants and the numbers by port."""
    content = Content(_packed())
    contestants, counts = [], {}
    with ExitStack() as stack:
        for tag_count, name in zip(tag_counts, names, strict=True):
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tags-"))) / "data"
            server = stack.enter_context(mirror(content, data=data))
            if tag_count:
                many_tags.add(data, tag_count)
            contestants.append(running(name, server))
            counts[server.port] = tag_count
        yield contestants, counts


def _cold_pull(_stage: Stage, *, size_bytes: int, clients: int) -> AbstractContextManager[Trial]:
    return pulling.cold(_packed(), size_bytes=size_bytes, clients=clients)


def _packed(payload_size_bytes: int = 0) -> PackedPlugin:
    with tempfile.TemporaryDirectory(prefix="plugin-") as folder:
        return plugin(Path(folder), payload_size_bytes=payload_size_bytes)


CASES: Sequence[Case] = (
    Case(
        "manifest-get-tag",
        "manifest GET by tag",
        "requests",
        _reading(lambda stage: loads.manifest_gets(TAG)),
    ),
    Case(
        "manifest-get-digest",
        "manifest GET by digest",
        "requests",
        _reading(lambda stage: loads.manifest_gets(stage.content.plugin.manifest_digest)),
    ),
    Case(
        "manifest-head-tag",
        "manifest HEAD by tag",
        "requests",
        _reading(lambda stage: loads.manifest_heads(TAG)),
    ),
    Case(
        "manifest-head-digest",
        "manifest HEAD by digest",
        "requests",
        _reading(lambda stage: loads.manifest_heads(stage.content.plugin.manifest_digest)),
    ),
    Case(
        "blob-get-1mib",
        "blob GET, 1 MiB",
        "MiB",
        _reading(lambda stage: loads.blob_gets(stage.small.digest, connections=32)),
    ),
    Case(
        "blob-get-256mib",
        "blob GET, 256 MiB",
        "MiB",
        _reading(lambda stage: loads.blob_gets(stage.big.digest, connections=4)),
        seconds_at_least=3,
    ),
    Case(
        "plugin-pull",
        "16 clients pull a plugin of 32 MiB",
        "plugins",
        _reading(lambda stage: loads.plugin_pulls(clients=16)),
    ),
    Case("blob-push-1mib", "blob push, 1 MiB", "MiB", partial(_pushing, size_bytes=MIB, clients=8)),
    Case("blob-push-256mib", "blob push, 256 MiB", "MiB", partial(_pushing, size_bytes=256 * MIB, clients=2)),
    Case(
        "tls-manifest-get-tag",
        "manifest GET by tag, TLS",
        "requests",
        _reading_with_tls(lambda stage: loads.manifest_gets(TAG)),
    ),
    Case(
        "tls-blob-get-64kib",
        "blob GET, 64 KiB, TLS",
        "MiB",
        _reading_with_tls(lambda stage: loads.blob_gets(stage.tiny.digest, connections=32)),
    ),
    Case(
        "tls-blob-get-1mib",
        "blob GET, 1 MiB, TLS",
        "MiB",
        _reading_with_tls(lambda stage: loads.blob_gets(stage.small.digest, connections=32)),
    ),
    Case(
        "tls-blob-get-256mib",
        "blob GET, 256 MiB, TLS",
        "MiB",
        _reading_with_tls(lambda stage: loads.blob_gets(stage.big.digest, connections=4)),
        seconds_at_least=8,
        quick=False,
    ),
    Case(
        "tls-plugin-pull",
        "16 clients pull a plugin of 1 MiB, TLS",
        "plugins",
        _reading_with_tls(lambda stage: loads.plugin_pulls(clients=16)),
    ),
    Case(
        "tls-blob-push-1mib",
        "blob push, 1 MiB, TLS",
        "MiB",
        partial(_pushing, size_bytes=MIB, clients=8, tls=True),
    ),
    Case(
        "tls-blob-push-256mib",
        "blob push, 256 MiB, TLS",
        "MiB",
        partial(_pushing, size_bytes=256 * MIB, clients=2, tls=True),
    ),
    *(
        Case(
            f"push-quotas-{what}",
            f"push of images of {what} with quotas",
            "images",
            lambda _stage, size_bytes=size_bytes: quotas.pushes(Content(_packed()), size_bytes=size_bytes),
            seconds_at_least=3,
            rounds_at_least=15,
        )
        for what, size_bytes in (("64kib", 64 * KIB), ("4mib", 4 * MIB))
    ),
    Case(
        "manifest-get-tag-of-100000",
        "manifest GET by one tag of 100 000",
        "requests",
        _one_of_many_tags,
        rounds_at_least=9,
    ),
    Case("manifest-get-any-of-100000", "manifest GET by any tag of 100 000", "requests", _any_of_many_tags),
    Case("pack", "pack a folder into the store", "MiB", partial(_packing, write=packing.write_library)),
    Case(
        "pack-small-files",
        "pack 100 000 files of 1 KiB of random bytes",
        "MiB",
        partial(_packing, write=packing.write_small_files),
    ),
    *(
        Case(
            f"bundle-{what}{'' if size_bytes == BUNDLE_BYTES else '-64mib'}",
            f"{what} of {size_bytes // MIB} MiB {way} a bundle",
            "MiB",
            partial(_bundling, trial=trial, size_bytes=size_bytes),
            rounds_at_most=3,
            quick=size_bytes != BUNDLE_BYTES,
            missing=bundling.missing,
        )
        for what, way, trial in (("export", "to", bundling.exports), ("import", "from", bundling.imports))
        for size_bytes in (64 * MIB, BUNDLE_BYTES)
    ),
    Case(
        "bundle-delta",
        "export of one changed plugin of 200",
        "exports",
        lambda _stage: bundling.deltas(),
        rounds_at_most=3,
    ),
    *(
        Case(
            f"collect-{files}",
            f"collection of {files} of {2 * files} files",
            "files",
            partial(_collecting, garbage_files=files),
            rounds_at_most=3,
            quick=files == GARBAGE_FILES_QUICKLY,
        )
        for files in (GARBAGE_FILES_QUICKLY, GARBAGE_FILES)
    ),
    Case(
        "pulls-beside-upkeep",
        "4 clients pull a plugin of 1 MiB beside upkeep",
        "plugins",
        lambda _stage: _pulling_beside_upkeep(),
        seconds_at_least=3,
        rounds_at_least=11,
        quick=False,
    ),
    Case("lint-again", f"second lint of a plugin of {looking.SIZE_BYTES // MIB} MiB", "looks", _looking),
    Case(
        "pull-first-byte",
        "16 clients pull 8 MiB that are not here",
        "MiB",
        partial(_cold_pull, size_bytes=8 * MIB, clients=16),
        missing=pulling.missing,
    ),
    Case(
        "pull-cold-16",
        "16 clients pull 256 MiB that are not here",
        "MiB",
        partial(_cold_pull, size_bytes=256 * MIB, clients=16),
        rounds_at_most=3,
        quick=False,
        missing=pulling.missing,
    ),
    Case(
        "pull-cold-64",
        "64 clients pull 256 MiB that are not here",
        "MiB",
        partial(_cold_pull, size_bytes=256 * MIB, clients=64),
        rounds_at_most=5,
        quick=False,
        missing=pulling.missing,
    ),
    Case(
        "pull-upstream-gone",
        "a client pulls a plugin of 1 MiB, the upstream gone",
        "plugins",
        lambda _stage: pulling.gone(_packed(MIB), loads.plugin_pulls(clients=1)),
        rounds_at_least=9,
    ),
    Case(
        "sync-cold",
        f"sync of {SYNCED_PLUGINS} plugins that are not here",
        "plugins",
        lambda _stage: syncing.cold(plugins=SYNCED_PLUGINS),
        rounds_at_most=3,
        quick=False,
        missing=syncing.missing,
    ),
    Case(
        "sync-unchanged",
        f"sync of {SYNCED_PLUGINS} plugins that are as they were",
        "plugins",
        lambda _stage: syncing.unchanged(plugins=SYNCED_PLUGINS),
        rounds_at_most=3,
        quick=False,
        missing=syncing.missing,
    ),
    *(
        Case(
            f"sync-unchanged-{tags}-tags",
            f"sync of {tags} tags of a plugin that are as they were",
            "tags",
            partial(_unchanged_tags, tags=tags),
            rounds_at_most=3,
            quick=tags == SYNCED_TAGS_QUICKLY,
            missing=syncing.missing,
        )
        for tags in (SYNCED_TAGS_QUICKLY, SYNCED_TAGS)
    ),
    Case(
        "sync-cold-far",
        f"sync of {SYNCED_PLUGINS} plugins that are not here, from {_FAR}",
        "plugins",
        lambda _stage: syncing.cold(plugins=SYNCED_PLUGINS, round_trip_seconds=syncing.ROUND_TRIP_SECONDS),
        rounds_at_most=1,
        quick=False,
        missing=syncing.missing,
    ),
    Case(
        "sync-unchanged-far",
        f"sync of {SYNCED_PLUGINS} plugins that are as they were, from {_FAR}",
        "plugins",
        lambda _stage: syncing.unchanged(plugins=SYNCED_PLUGINS, round_trip_seconds=syncing.ROUND_TRIP_SECONDS),
        rounds_at_most=1,
        quick=False,
        missing=syncing.missing,
    ),
    Case(
        "transfers-1gib",
        f"{BIG_PULLS} pulls and {BIG_PUSHES} pushes of 1 GiB at once",
        "MiB",
        _big_transfers,
        rounds_at_most=1,
        quick=False,
    ),
    Case(
        "attacks",
        "GET /v2/ of others meanwhile",
        "requests",
        lambda _stage: attacks.trial(),
        rounds_at_most=1,
    ),
)
