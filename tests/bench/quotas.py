"""Pushes to our server with quotas and without."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any, Final

from tests.bench import client
from tests.bench.content import Bodies, Body
from tests.bench.laps import run_laps
from tests.bench.sample import Outcome
from tests.bench.servers import OURS, Content, Contestant, Server, mirror
from tests.bench.trial import Trial
from tests.harness.packing import MANIFEST_TYPE

NO_QUOTAS: Final = f"{OURS}, no quotas"
_CLIENTS: Final = 4
#: Quotas of everything, of the repository, and of each user; none is ever full.
_QUOTAS: Final[dict[str, Any]] = {
    "quotas": [
        {"pattern": "**", "bytes": "1TiB", "manifests": 1_000_000, "tags": 1_000_000},
        {"pattern": "bench/*", "bytes": "1TiB", "tags": 1_000_000},
        {"user": "*", "bytes": "1TiB"},
    ]
}


@contextmanager
def pushes(content: Content, *, size_bytes: int) -> Iterator[Trial]:
    """Measure pushes of images with one layer. Every measurement starts a new server."""
    bodies = Bodies(size_bytes)

    def load(server: Server, seconds: int) -> Outcome:
        @contextmanager
        def pusher() -> Iterator[Callable[[], None]]:
            with server.connected() as connection:
                yield lambda: _push_image(connection, content, bodies.fresh())

        return run_laps(_CLIENTS, seconds, pusher).outcome(1)

    yield Trial(
        [
            Contestant(OURS, lambda: mirror(content, sections=_QUOTAS)),
            Contestant(NO_QUOTAS, lambda: mirror(content)),
        ],
        load,
    )


def _push_image(connection: HTTPConnection, content: Content, layer: Body) -> None:
    """Push a layer, and a manifest with a tag of its own. The config is there already."""
    client.push_blob(connection, layer)
    config = Body.of(content.plugin.config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _descriptor("application/vnd.docker.container.image.v1+json", config),
        "layers": [_descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", layer)],
    }
    client.put_manifest(connection, json.dumps(manifest).encode(), tag=layer.digest.partition(":")[2][:32])


def _descriptor(media_type: str, blob: Body) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size_bytes}
