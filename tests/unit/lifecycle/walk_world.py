"""The small world of the random walk: its content, what a catalog holds of it, and what of this has to stay."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mirror.oci import Descriptor, Digest, Manifest, Repository
from mirror.oci.media_types import OCI_IMAGE_CONFIG, OCI_LAYER
from mirror.store.content.data_layout import DataLayout
from tests.support.builders import index, manifest_of

PUSHED, PULLED = Repository("walk/pushed"), Repository("walk/pulled")
REPOSITORIES: Final = (PUSHED, PULLED)
TAGS: Final = ("1.0", "latest")


def _image(config: bytes, *layers: bytes, subject: Descriptor | None = None) -> Manifest:
    body = {
        "config": Descriptor(OCI_IMAGE_CONFIG, Digest.of(config), len(config)).to_json(),
        "layers": [Descriptor(OCI_LAYER, Digest.of(layer), len(layer)).to_json() for layer in layers],
    }
    return manifest_of(body if subject is None else {**body, "subject": subject.to_json()})


BLOBS: Final = [b"config", b"another config", b"layer", b"another layer" * 5, b"{}"]
ONE, TWO = _image(BLOBS[0], BLOBS[2]), _image(BLOBS[1], BLOBS[2], BLOBS[3])
COPY: Final = _image(BLOBS[1], BLOBS[3])
BOTH, OUTER = index(ONE.descriptor, TWO.descriptor), index(index(ONE.descriptor).descriptor, TWO.descriptor)
INNER: Final = index(ONE.descriptor)
MANIFESTS: Final = (
    ONE,
    TWO,
    COPY,
    BOTH,
    INNER,
    OUTER,
    _image(BLOBS[4], subject=ONE.descriptor),
    _image(BLOBS[4], BLOBS[3], subject=BOTH.descriptor),
    # A circle: each of the two is above the other.
    manifest_of(
        {"manifests": [COPY.descriptor.to_json()], "subject": COPY.descriptor.to_json()},
        "application/vnd.oci.image.index.v1+json",
    ),
)
BY_DIGEST: Final = {str(manifest.digest): manifest for manifest in MANIFESTS}
CONTENT: Final = {str(Digest.of(blob)): blob for blob in BLOBS} | {
    digest: manifest.content for digest, manifest in BY_DIGEST.items()
}

#: A manifest or blob of a repository: the name and the digest.
Place = tuple[str, str]


def children(digest: str) -> set[str]:
    """Return what a manifest needs: blobs, and members of an index."""
    manifest = BY_DIGEST[digest]
    return {str(child.digest) for child in (*manifest.blobs, *manifest.manifests)}


def blob_file(data: Path, digest: str) -> Path:
    """Return the file of a digest in a data folder."""
    return DataLayout(data).blob(Digest.parse(digest))


@dataclass(frozen=True)
class Held:
    """What a catalog holds.

    Attributes:
        tags: digest by repository and tag.
        manifests: complete manifests.
        incomplete: incomplete manifests.
        blobs: blobs of repositories.
        wanted: incomplete manifests that a pulled-through tag names.
        approved: manifests that are approved.
        originals: pairs of a copy and its original.
        content: digests with bytes.
    """

    tags: Mapping[tuple[str, str], str]
    manifests: frozenset[Place]
    incomplete: frozenset[Place]
    blobs: frozenset[Place]
    wanted: frozenset[Place]
    approved: frozenset[Place]
    originals: frozenset[tuple[str, str]]
    content: frozenset[str]

    @classmethod
    def read(cls, data: Path) -> Held:
        """Read the catalog of a data folder."""
        with closing(sqlite3.connect(f"file:{data / 'catalog.sqlite'}?mode=ro", uri=True)) as catalog:

            def pairs(query: str) -> frozenset[tuple[str, str]]:
                return frozenset(catalog.execute(query))

            tags = "SELECT r.name, t.name, t.digest FROM tags t JOIN repositories r ON r.id = t.repository_id"
            of = "SELECT r.name, x.digest FROM {} x JOIN repositories r ON r.id = x.repository_id"
            incomplete = pairs("SELECT repository, digest FROM incomplete_manifests")
            pulled = pairs("SELECT repository, digest FROM origins WHERE target NOT LIKE '%:%'")
            return cls(
                {(name, tag): digest for name, tag, digest in catalog.execute(tags)},
                pairs(of.format("manifests")),
                incomplete,
                pairs(of.format("repository_blobs")),
                pulled & incomplete,
                pairs("SELECT repository, digest FROM decisions WHERE approved"),
                pairs("SELECT digest, original FROM derivations"),
                frozenset(digest for (digest,) in catalog.execute("SELECT digest FROM blobs")),
            )

    @property
    def places(self) -> frozenset[Place]:
        """Everything that repositories hold."""
        return self.manifests | self.incomplete | self.blobs

    def needed(self, known: Iterable[Place] = ()) -> set[Place]:
        """Return what has to stay, of what is held and of ``known``: places of manifests and blobs."""
        manifests = {place for place in {*self.manifests, *self.incomplete, *known} if place[1] in BY_DIGEST}
        needed: set[Place] = set()
        coming = [place for place in manifests if self._is_root(place)]
        while coming:
            place = coming.pop()
            if place not in needed:
                needed.add(place)
                coming += [other for other in self._kept_with(place, manifests) if other in manifests]
        return needed | {(name, child) for name, digest in needed for child in children(digest)}

    def _is_root(self, place: Place) -> bool:
        name, digest = place
        copies = {copy for copy, original in self.originals if original == digest}
        return (
            self._is_tagged(place)
            or place in self.wanted
            or place in self.approved
            or any(copy in copies for _, copy in self.manifests)
            or any(
                _subject(other) == digest and self._is_tagged((name, other))
                for where, other in self.manifests
                if where == name
            )
        )

    def _is_tagged(self, place: Place) -> bool:
        name, digest = place
        return any(where == name and pointed == digest for (where, _), pointed in self.tags.items())

    def _kept_with(self, place: Place, manifests: Iterable[Place]) -> Iterator[Place]:
        name, digest = place
        yield from ((name, child) for child in children(digest))
        yield from (other for other in manifests if other[0] == name and _subject(other[1]) == digest)


def _subject(digest: str) -> str | None:
    subject = BY_DIGEST[digest].subject
    return None if subject is None else str(subject.digest)
