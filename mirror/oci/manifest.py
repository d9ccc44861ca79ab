"""Manifests: parsed views of immutable bytes (OCI image-spec manifest.md and image-index.md; Docker schema 2).

The mirror must judge a manifest exactly as every engine will read it. A manifest that an engine could read differently
is *ambiguous* (:mod:`mirror.oci.strict_reading.manifest_ambiguity`). :meth:`Manifest.parse` refuses ambiguous manifests
from outside. :meth:`Manifest.parse_stored` accepts them and sets ``ambiguity``, because an earlier version may have
stored some.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mirror.oci import media_types
from mirror.oci.descriptor import Descriptor, string_map
from mirror.oci.digest import Digest
from mirror.oci.errors import ContentTooLarge, DigestInvalid, ManifestInvalid
from mirror.oci.printable_text import quoted
from mirror.oci.strict_reading.manifest_ambiguity import ambiguity_of
from mirror.oci.strict_reading.strict_json import Document, read_object

#: Size limit of a manifest from a client or an upstream. Engines since 20.10 read at most 4 393 216 bytes.
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
_MAX_CHILDREN = 10_000
#: Length limit of an artifact type in characters. RFC 6838 allows no longer ones.
_MAX_TYPE_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Manifest:
    """Manifest: the bytes as received, and their parsed content.

    Attributes:
        content: bytes exactly as received. Their digest names the manifest.
        media_type: media type of the manifest.
        digest: digest under which the manifest is stored.
        config: descriptor of the config; None for an index.
        layers: descriptors of the layers, in order; empty for an index.
        manifests: members of an index that are manifests; empty otherwise.
        blob_members: members of an index that are blobs, as in the caches of BuildKit; empty otherwise.
        subject: descriptor of the manifest that this manifest refers to, or None.
        artifact_type: value of ``artifactType``, or None.
        annotations: annotations of the manifest.
        ambiguity: reason why an engine may read the manifest differently, as a phrase that follows "the manifest"; None
            if all readers read the same.
    """

    content: bytes = field(repr=False)
    media_type: str
    digest: Digest
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    manifests: tuple[Descriptor, ...]
    blob_members: tuple[Descriptor, ...]
    subject: Descriptor | None
    artifact_type: str | None
    annotations: Mapping[str, str]
    ambiguity: str | None

    @classmethod
    def parse(cls, content: bytes, media_type: str, digest: Digest | None = None) -> Manifest:
        """Return the manifest in bytes from outside. Unknown members are ignored.

        Args and errors as for :meth:`parse_stored`.

        Raises:
            ManifestInvalid: also if the manifest is ambiguous, or the artifact type is too long.
        """
        manifest = cls.parse_stored(content, media_type, digest)
        if manifest.ambiguity is not None:
            raise ManifestInvalid(f"the manifest {manifest.ambiguity}: engines may read the manifest differently")
        # The artifact type is stored in the catalog with the referrers of a subject, so its length is bounded.
        length = len(manifest.as_referrer().artifact_type or "")
        if length > _MAX_TYPE_LENGTH:
            raise ManifestInvalid(
                f"artifactType, or else the config's mediaType, has {length} characters: "
                f"at most {_MAX_TYPE_LENGTH} are accepted"
            )
        return manifest

    @classmethod
    def parse_stored(cls, content: bytes, media_type: str, digest: Digest | None = None) -> Manifest:
        """Return the manifest in bytes of the store, even if the manifest is ambiguous.

        Args:
            content: bytes of the manifest, at most :data:`MAX_MANIFEST_BYTES`.
            media_type: value of ``Content-Type``. Parameters are ignored.
            digest: expected digest, under which the manifest is stored; None for the sha256 digest of the bytes.

        Raises:
            ContentTooLarge: the bytes exceed the limit.
            DigestInvalid: the bytes have another digest.
            ManifestInvalid: the media type is not a manifest's, or the bytes are not JSON of the shape that the media
                type requires.
        """
        if len(content) > MAX_MANIFEST_BYTES:
            raise ContentTooLarge(
                f"manifest of {len(content)} bytes: at most {MAX_MANIFEST_BYTES} are accepted",
                size_bytes=len(content),
                limit_bytes=MAX_MANIFEST_BYTES,
            )
        # A client may push a manifest under a digest of any supported algorithm.
        actual = Digest.of(content, digest.algorithm if digest else "sha256")
        if digest is not None and actual != digest:
            raise DigestInvalid(f"manifest has digest {actual}, not {digest}", expected=digest, actual=actual)
        kind = media_types.essence(media_type)
        if kind not in media_types.MANIFESTS:
            raise ManifestInvalid(
                f"Content-Type {kind or '(none)'} is not the type of a manifest: "
                f"only {', '.join(media_types.MANIFESTS)} are accepted",
                media_type=kind,
            )
        document = read_object(content, "manifest")
        body = document.body
        said = body.get("mediaType")
        if said is not None and said != kind:
            shown = quoted(said[:60]) if isinstance(said, str) else "(not a string)"
            raise ManifestInvalid(f"manifest says mediaType {shown} but was sent as {kind}", media_type=kind)
        version = body.get("schemaVersion")
        # Python takes 2.0 for equal to 2, and Go refuses it.
        if version != 2 or not isinstance(version, int):
            raise ManifestInvalid("manifest schemaVersion is not 2; schema 1 is not supported")
        try:
            return cls._from_document(content, kind, actual, document)
        except DigestInvalid as error:  # of a descriptor inside: the manifest's own digest was right
            raise ManifestInvalid(f"manifest holds a wrong digest: {error}", **error.detail) from error

    @classmethod
    def _from_document(cls, content: bytes, kind: str, digest: Digest, document: Document) -> Manifest:
        body = document.body
        index = kind in media_types.INDEXES
        # A reader that ignores the media type could take such a document for an index or for an image.
        if index and ("layers" in body or "config" in body):
            raise ManifestInvalid(f"{kind} may not hold config or layers")
        if not index and ("manifests" in body or "fsLayers" in body):
            raise ManifestInvalid(f"{kind} may not hold manifests or fsLayers")
        config = None if index else Descriptor.from_json(body.get("config"), "config")
        members = _descriptors(body.get("manifests"), "manifests") if index else ()
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
            # As clients do, decide by the media type: only a manifest's type is read at the path of manifests.
            manifests=tuple(member for member in members if media_types.is_manifest(member.media_type)),
            blob_members=tuple(member for member in members if not media_types.is_manifest(member.media_type)),
            subject=None if subject is None else Descriptor.from_json(subject, "subject"),
            artifact_type=artifact_type or None,
            annotations=string_map(body.get("annotations"), "annotations"),
            ambiguity=ambiguity_of(document),
        )

    @property
    def size_bytes(self) -> int:
        """Size of the manifest itself, in bytes."""
        return len(self.content)

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config, layers and blob members that the repository must hold, each once. Foreign layers are left out."""
        wanted = [*([self.config] if self.config else []), *self.layers, *self.blob_members]
        return _each_once(blob for blob in wanted if not _is_foreign(blob))

    @property
    def foreign_layers(self) -> tuple[Descriptor, ...]:
        """Layers that may be stored elsewhere, each once. The repository need not hold them."""
        return _each_once(layer for layer in (*self.layers, *self.blob_members) if _is_foreign(layer))

    @property
    def kind(self) -> str:
        """``plugin``, ``image``, ``artifact`` or ``index``, from the media type of the config."""
        return media_types.kind_of_content(None if self.config is None else self.config.media_type)

    @property
    def is_plugin(self) -> bool:
        """True if the manifest is a Docker managed plugin."""
        return self.config is not None and self.config.media_type == media_types.DOCKER_PLUGIN_CONFIG

    @property
    def may_be_plugin(self) -> bool:
        """True if an engine might install the manifest as a plugin, because it is a plugin or is ambiguous."""
        return self.is_plugin or self.ambiguity is not None

    @property
    def content_size_bytes(self) -> int:
        """Total size of :attr:`blobs` in bytes. Each digest counts once."""
        return sum(blob.size_bytes for blob in self.blobs)

    @property
    def descriptor(self) -> Descriptor:
        """Descriptor of the manifest itself."""
        return Descriptor(self.media_type, self.digest, self.size_bytes)

    def as_referrer(self) -> Descriptor:
        """Return the descriptor that lists this manifest as a referrer (distribution-spec, "Listing Referrers")."""
        artifact_type = self.artifact_type or (self.config.media_type if self.config else None)
        return Descriptor(self.media_type, self.digest, self.size_bytes, artifact_type, self.annotations)


def parse_json_object(content: bytes, what: str = "manifest") -> dict[str, Any]:
    """Return the JSON object in bytes from outside. The bytes must be UTF-8.

    Args:
        content: bytes of the object.
        what: name of the content for error messages.

    Raises:
        ManifestInvalid: the bytes are not a JSON object, or are nested too deeply for the parser.
    """
    return read_object(content, what).body


def _is_foreign(blob: Descriptor) -> bool:
    return bool(blob.urls) or media_types.is_foreign_layer(blob.media_type)


def _each_once(blobs: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
    found: dict[Digest, Descriptor] = {}
    for blob in blobs:
        found.setdefault(blob.digest, blob)
    return tuple(found.values())


def _descriptors(value: object, where: str) -> tuple[Descriptor, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ManifestInvalid(f"{where} is not a list", at=where)
    if len(value) > _MAX_CHILDREN:
        raise ManifestInvalid(f"{where} has {len(value)} members: at most {_MAX_CHILDREN} are accepted", at=where)
    return tuple(Descriptor.from_json(item, f"{where}[{number}]") for number, item in enumerate(value))
