"""Descriptors: media type, digest and size of content, with optional properties (image-spec, descriptor.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mirror.oci.digest import Digest
from mirror.oci.errors import ManifestInvalid

# Engines decode a size into a signed integer of 64 bits.
_MAX_SIZE_BYTES = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Reference to content by its digest.

    Attributes:
        media_type: media type of the content.
        digest: digest of the content.
        size_bytes: size of the content in bytes.
        artifact_type: type of the artifact, if the manifest of the artifact declares a type.
        annotations: annotations of the manifest, unchanged.
        urls: download locations of a foreign layer.
        platform: ``os``, ``architecture``, ``variant`` … of a member of an index, unchanged.
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
        """Return the descriptor in a JSON value of a parsed manifest.

        Args:
            value: JSON value, expected to be an object.
            where: place of the value in the manifest, for error messages: ``"layers[0]"``.

        Raises:
            ManifestInvalid: the value is not an object, or a member is missing or has the wrong type.
            DigestInvalid: the digest is malformed.
        """
        if not isinstance(value, dict):
            raise ManifestInvalid(f"{where} is not an object", at=where)
        media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
        if not isinstance(media_type, str) or not media_type:
            raise ManifestInvalid(f"{where} has no mediaType", at=where)
        if not isinstance(digest, str):
            raise ManifestInvalid(f"{where} has no digest", at=where)
        # JSON's true is an int in Python.
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
        """Length of the artifact type and annotations in characters.

        Each of these texts may be as long as a manifest, so lists of descriptors must be bounded by this length too.
        """
        return len(self.artifact_type or "") + sum(len(name) + len(value) for name, value in self.annotations.items())

    def to_json(self) -> dict[str, Any]:
        """Return the descriptor as a JSON object without empty members, in the member order that engines write."""
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
    """Return a JSON object whose values are strings, or an empty dictionary for null.

    Raises:
        ManifestInvalid: the value is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise ManifestInvalid(f"{where} is not an object of strings", at=where)
    return value
