"""The index of a bundle: ``index.json`` of its OCI image layout, with the names (image-spec, image-layout.md). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.bundle.format.bounded_json import read_bounded, require_bounded
from mirror.oci import Descriptor, Digest, Repository, Tag
from mirror.oci.errors import ClientFault
from mirror.oci.media_types import MANIFESTS, OCI_INDEX
from mirror.oci.names import parse_reference
from mirror.plugin.build.assembly import canonical_json

_REF_NAME: Final = "org.opencontainers.image.ref.name"
#: Largest index that is read: about 130 000 names.
MOST_INDEX_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class NamedManifest:
    """A manifest under a name in a bundle.

    Attributes:
        repository: the repository.
        target: the tag; the digest for content without a tag, such as a referrer.
        descriptor: media type, digest and size of the manifest.
    """

    repository: Repository
    target: Tag | Digest
    descriptor: Descriptor

    @property
    def tag(self) -> Tag | None:
        """The tag; None for content that is named by its digest."""
        return self.target if isinstance(self.target, Tag) else None

    def __str__(self) -> str:
        return f"{self.repository}{':' if self.tag else '@'}{self.target}"


def write_index(names: Iterable[NamedManifest]) -> bytes:
    """Return ``index.json``. The same names give the same bytes. Raises BundleInvalid if there are too many names."""
    listed = [
        {**replace(named.descriptor, annotations={}).to_json(), "annotations": {_REF_NAME: str(named)}}
        for named in sorted(names, key=str)
    ]
    content = canonical_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}, "index.json")
    require_bounded(content, "index.json", MOST_INDEX_BYTES)
    return content


def read_index(content: bytes) -> tuple[NamedManifest, ...]:
    """Return the names in ``index.json``, each once.

    Raises:
        BundleInvalid: the bytes are not the index of a bundle.
    """
    try:
        listed = read_bounded(content, "index.json", MOST_INDEX_BYTES).get("manifests")
        if not isinstance(listed, list):
            raise BundleInvalid("index.json has no list of manifests")
        names = tuple(
            _named(Descriptor.from_json(item, f"index.json: manifests[{place}]")) for place, item in enumerate(listed)
        )
    except ClientFault as error:
        raise BundleInvalid(f"index.json is invalid: {error}") from error
    if len({str(named) for named in names}) < len(names):
        raise BundleInvalid("index.json has a name twice")
    return names


def _named(descriptor: Descriptor) -> NamedManifest:
    name = descriptor.annotations.get(_REF_NAME, "")
    mark = "@" if "@" in name else ":"
    repository, _, target = name.partition(mark)
    named = NamedManifest(Repository.parse(repository), parse_reference(target), replace(descriptor, annotations={}))
    if isinstance(named.target, Digest) is not (mark == "@"):
        raise BundleInvalid(f"index.json has no name for {descriptor.digest}")
    if descriptor.media_type not in MANIFESTS or (named.tag is None and named.target != descriptor.digest):
        raise BundleInvalid(f"index.json names {descriptor.digest} wrongly")
    return named
