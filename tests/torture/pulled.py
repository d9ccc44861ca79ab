"""Content of an upstream, pulled through by the clients."""

from __future__ import annotations

from typing import Any, Final

from tests.harness.mirror import Mirror
from tests.torture import contents
from tests.torture.connection import Connection
from tests.torture.contents import Content

UPSTREAM: Final = "hub"
#: The repository in the store that is pulled through.
PULLED_REPOSITORY: Final = "pulled/image"
_SOURCE: Final = "image"
_BASE = contents.blob("pulled, base", 300_000)
#: Images by tag, with their blobs. All have a layer in common.
IMAGES: Final = {
    f"{number}.0": (contents.image(f"pulled {number}", blobs[0], blobs[1:]), blobs)
    for number in range(4)
    for blobs in [(contents.blob(f"pulled, config {number}", 500), _BASE, contents.blob(f"pulled {number}", 70_000))]
}


def sections(upstream: Mirror) -> dict[str, Any]:
    """Return the configuration of a server that pulls through."""
    return {
        "upstreams": {UPSTREAM: {"url": upstream.url, "plain_http": True}},
        "proxy": [{"from": f"{UPSTREAM}/*", "to": "pulled/*"}],
    }


def publish(upstream: Mirror) -> None:
    """Push the images to the upstream."""
    with Connection(upstream.port) as connection:
        for tag, (manifest, blobs) in IMAGES.items():
            for blob in blobs:
                _push(connection, blob)
            headers = {"Content-Type": manifest.media_type}
            answer = connection.ask("PUT", f"/v2/{_SOURCE}/manifests/{tag}", manifest.data, headers)
            assert answer.status == 201, answer


def _push(connection: Connection, blob: Content) -> None:
    answer = connection.ask("POST", f"/v2/{_SOURCE}/blobs/uploads/?digest={blob.digest}", blob.data)
    assert answer.status == 201, answer
