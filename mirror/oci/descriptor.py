"""Descriptors: type, digest and size of content, with what its manifest says of it (image-spec, descriptor.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mirror.oci.digest import Digest
from mirror.oci.errors import ManifestInvalid

_MAX_SIZE_BYTES = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Points to content.

    Attributes:
        media_type: what the bytes are.
        digest: their digest.
        size_bytes: how many there are.
        artifact_type: what an artifact is, where its manifest says so.
        annotations: as written in the manifest, nothing added.
        urls: where foreign content may be had.
        platform: ``os``, ``architecture``, ``variant`` … as written, for members of an index.
    """

    media_type: str
    digest: Digest
    size_bytes: int
    artifact_type: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    urls: tuple[str, ...] = ()
    platform: Mapping[str, Any] | None = None

    @classmethod
    def from_json(cls, value: object, where: str) -> Descriptor:
        """Read a descriptor out of a parsed manifest.

        Args:
            value: the JSON value, hopefully an object.
            where: its place in the manifest, for the error: ``"layers[0]"``.

        Raises:
            ManifestInvalid: a member is missing or of the wrong kind.
            DigestInvalid: its digest is malformed.
        """
        if not isinstance(value, dict):
            raise ManifestInvalid(f"{where} is not an object", at=where)
        media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
        if not isinstance(media_type, str) or not media_type:
            raise ManifestInvalid(f"{where} has no mediaType", at=where)
        if not isinstance(digest, str):
            raise ManifestInvalid(f"{where} has no digest", at=where)
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MAX_SIZE_BYTES:
            raise ManifestInvalid(f"{where} has no size in bytes", at=where)
        artifact_type = value.get("artifactType")
        annotations = string_map(value.get("annotations"), f"{where}.annotations")
        urls = value.get("urls") or []
        if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
            raise ManifestInvalid(f"{where}.urls is not a list of strings", at=where)
        platform = value.get("platform")
        if platform is not None and not isinstance(platform, dict):
            raise ManifestInvalid(f"{where}.platform is not an object", at=where)
        return cls(
            media_type=media_type,
            digest=Digest.parse(digest),
            size_bytes=size,
            artifact_type=artifact_type if isinstance(artifact_type, str) and artifact_type else None,
            annotations=annotations,
            urls=tuple(urls),
            platform=platform,
        )

    @property
    def text_length(self) -> int:
        """Characters of what its manifest says of it: each may have as many as a manifest has bytes."""
        return len(self.artifact_type or "") + sum(len(name) + len(value) for name, value in self.annotations.items())

    def to_json(self) -> dict[str, Any]:
        """The JSON object, members in the order engines write them, empty ones left out."""
        value: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size_bytes,
        }
        if self.artifact_type:
            value["artifactType"] = self.artifact_type
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        if self.urls:
            value["urls"] = list(self.urls)
        if self.platform is not None:
            value["platform"] = dict(self.platform)
        return value


def string_map(value: object, where: str) -> dict[str, str]:
    """A JSON object of strings; null or nothing gives an empty one.

    Raises:
        ManifestInvalid: it is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise ManifestInvalid(f"{where} is not an object of strings", at=where)
    return value
