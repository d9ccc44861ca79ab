"""Content to push, generated from its name, so that a client remembers only the digest."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from tests.harness.packing import digest_of

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes with their digest (`sha256:…`) and media type."""

    data: bytes = field(repr=False)
    digest: str
    media_type: str = _OCTETS


@cache
def blob(name: str, size_bytes: int) -> Content:
    """Return content that is unique to `name`."""
    data = random.Random(name).randbytes(size_bytes)
    return Content(data, digest_of(data))


def image(name: str, config: Content, layers: Sequence[Content]) -> Content:
    """Return a manifest that names a config and layers."""
    return _manifest(
        MANIFEST_TYPE,
        name,
        config=_descriptor(config),
        layers=[_descriptor(layer) for layer in layers],
    )


def index(name: str) -> Content:
    """Return an index without members, which needs no other content."""
    return _manifest(INDEX_TYPE, name, manifests=[])


def _descriptor(content: Content) -> dict[str, object]:
    return {"mediaType": content.media_type, "digest": content.digest, "size": len(content.data)}


def _manifest(media_type: str, name: str, **members: object) -> Content:
    whole = {"schemaVersion": 2, "mediaType": media_type, **members, "annotations": {"name": name}}
    data = json.dumps(whole).encode()
    return Content(data, digest_of(data), media_type)
