"""Manifests: a view of bytes that are never written again (OCI image-spec manifest.md and image-index.md; schema 2).

There is one reading of a manifest: what we judge, show and serve is what every engine will use. A manifest that an
engine could read in another way is *ambiguous* (:mod:`mirror.oci.manifest_ambiguity`). :meth:`Manifest.parse` refuses
an ambiguous manifest that comes in; :meth:`Manifest.parse_stored` marks one that an earlier version has let in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mirror.oci import media_types
from mirror.oci.descriptor import Descriptor, string_map
from mirror.oci.digest import Digest
from mirror.oci.errors import ContentTooLarge, DigestInvalid, ManifestInvalid
from mirror.oci.manifest_ambiguity import ambiguity_of
from mirror.oci.printable_text import quoted
from mirror.oci.strict_json import Document, read_object

#: Largest manifest accepted, from a client or an upstream. Engines since 20.10 stop at 4 393 216.
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
_MAX_CHILDREN = 10_000
#: Longest type of an artifact, in characters: RFC 6838 has no longer ones.
_MAX_TYPE_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as received, and what it says.

    Attributes:
        content: the bytes, exactly as received; their digest is the manifest's name.
        media_type: the type it was sent with.
        digest: the digest it is stored under.
        config: the config's descriptor; None for an index.
        layers: blobs, in order; empty for an index.
        manifests: members of an index; empty otherwise.
        subject: the manifest this one refers to, if any.
        artifact_type: as the manifest says, or None.
        annotations: as the manifest says.
        ambiguity: why an engine may read something else, in words that follow "the manifest"; None: every reader
            reads the same.
    """

    content: bytes = field(repr=False)
    media_type: str
    digest: Digest
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None
    artifact_type: str | None
    annotations: Mapping[str, str]
    ambiguity: str | None

    @classmethod
    def parse(cls, content: bytes, media_type: str, digest: Digest | None = None) -> Manifest:
        """Read a manifest that comes in. Unknown members are left alone.

        Args and errors as for :meth:`parse_stored`.

        Raises:
            ManifestInvalid: also where the manifest is ambiguous, or the type of the artifact too long.
        """
        manifest = cls.parse_stored(content, media_type, digest)
        if manifest.ambiguity is not None:
            raise ManifestInvalid(f"the manifest {manifest.ambiguity}: readers differ in what that means")
        length = len(manifest.as_referrer().artifact_type or "")
        if length > _MAX_TYPE_LENGTH:
            raise ManifestInvalid(
                f"artifactType, or else the config's mediaType, has {length} characters: "
                f"at most {_MAX_TYPE_LENGTH} are accepted"
            )
        return manifest

    @classmethod
    def parse_stored(cls, content: bytes, media_type: str, digest: Digest | None = None) -> Manifest:
        """Read a manifest that is held here, be it ambiguous.

        Args:
            content: the manifest's bytes, at most :data:`MAX_MANIFEST_BYTES`.
            media_type: the ``Content-Type`` it was sent with; parameters are ignored.
            digest: the digest it must have, and is stored under; sha256 of the bytes where none is given.

        Raises:
            ContentTooLarge: over the limit.
            DigestInvalid: the bytes have another digest.
            ManifestInvalid: a type that is not a manifest's, not JSON, or not the shape its type says.
        """
        if len(content) > MAX_MANIFEST_BYTES:
            raise ContentTooLarge(
                f"manifest of {len(content)} bytes: at most {MAX_MANIFEST_BYTES} are accepted",
                size_bytes=len(content),
                limit_bytes=MAX_MANIFEST_BYTES,
            )
        actual = Digest.of(content, digest.algorithm if digest else "sha256")
        if digest is not None and actual != digest:
            raise DigestInvalid(f"manifest has digest {actual}, not {digest}", expected=digest, actual=actual)
        kind = media_types.essence(media_type)
        if kind not in media_types.MANIFESTS:
            raise ManifestInvalid(
                f"Content-Type {kind or '(none)'} is not a manifest's: send one of {', '.join(media_types.MANIFESTS)}",
                media_type=kind,
            )
        document = read_object(content, "manifest")
        body = document.body
        said = body.get("mediaType")
        if said is not None and said != kind:
            shown = quoted(said[:60]) if isinstance(said, str) else "that is no string,"
            raise ManifestInvalid(f"manifest says mediaType {shown} but was sent as {kind}", media_type=kind)
        version = body.get("schemaVersion")
        if version != 2 or not isinstance(version, int):
            raise ManifestInvalid("manifest schemaVersion is not 2; schema 1 is not supported")
        try:
            return cls._from_document(content, kind, actual, document)
        except DigestInvalid as error:
            raise ManifestInvalid(f"manifest holds a wrong digest: {error}", **error.detail) from error

    @classmethod
    def _from_document(cls, content: bytes, kind: str, digest: Digest, document: Document) -> Manifest:
        body = document.body
        index = kind in media_types.INDEXES
        if index and ("layers" in body or "config" in body):
            raise ManifestInvalid(f"{kind} may not hold config or layers")
        if not index and ("manifests" in body or "fsLayers" in body):
            raise ManifestInvalid(f"{kind} may not hold manifests or fsLayers")
        config = None if index else Descriptor.from_json(body.get("config"), "config")
        subject = body.get("subject")
        artifact_type = body.get("artifactType")
        if artifact_type is not None and not isinstance(artifact_type, str):
            raise ManifestInvalid("artifactType is not a string")
        return cls(
            content=content,
            media_type=kind,
            digest=digest,
            config=config,
            layers=() if index else _descriptors(body.get("layers"), "layers"),
            manifests=_descriptors(body.get("manifests"), "manifests") if index else (),
            subject=None if subject is None else Descriptor.from_json(subject, "subject"),
            artifact_type=artifact_type or None,
            annotations=string_map(body.get("annotations"), "annotations"),
            ambiguity=ambiguity_of(document),
        )

    @property
    def size_bytes(self) -> int:
        """How many bytes the manifest itself has."""
        return len(self.content)

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers that must be in the repository: foreign ones are left out, each digest once."""
        wanted = [self.config, *self.layers] if self.config else list(self.layers)
        found: dict[Digest, Descriptor] = {}
        for blob in wanted:
            if not blob.urls and not media_types.is_foreign_layer(blob.media_type):
                found.setdefault(blob.digest, blob)
        return tuple(found.values())

    @property
    def is_plugin(self) -> bool:
        """Whether this is a Docker managed plugin."""
        return self.config is not None and self.config.media_type == media_types.DOCKER_PLUGIN_CONFIG

    @property
    def may_be_plugin(self) -> bool:
        """Whether an engine might install this as a plugin: it is one, or it is ambiguous."""
        return self.is_plugin or self.ambiguity is not None

    @property
    def content_size_bytes(self) -> int:
        """Bytes of config and layers together, each digest once."""
        return sum(blob.size_bytes for blob in self.blobs)

    @property
    def descriptor(self) -> Descriptor:
        """Type, digest and size of the manifest itself."""
        return Descriptor(self.media_type, self.digest, self.size_bytes)

    def as_referrer(self) -> Descriptor:
        """How this manifest is listed among the referrers of its subject (distribution-spec, "Listing Referrers")."""
        artifact_type = self.artifact_type or (self.config.media_type if self.config else None)
        return Descriptor(self.media_type, self.digest, self.size_bytes, artifact_type, self.annotations)


def parse_json_object(content: bytes, what: str = "manifest") -> dict[str, Any]:
    """Read JSON from outside: an object, in UTF-8, not nested beyond what the parser bears.

    Raises:
        ManifestInvalid: it is something else.
    """
    return read_object(content, what).body


def _descriptors(value: object, where: str) -> tuple[Descriptor, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ManifestInvalid(f"{where} is not a list", at=where)
    if len(value) > _MAX_CHILDREN:
        raise ManifestInvalid(f"{where} has {len(value)} members: at most {_MAX_CHILDREN} are accepted", at=where)
    return tuple(Descriptor.from_json(item, f"{where}[{number}]") for number, item in enumerate(value))
