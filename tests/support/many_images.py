"""Data folders with very many small images, half of them deleted, written with SQL: pushes would take hours."""

from __future__ import annotations

import hashlib
import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mirror.oci.media_types import OCI_IMAGE_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST
from mirror.store.content.data_layout import DataLayout

#: Images written at a time.
_ROWS = 1000
_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class SmallFile:
    """A blob or manifest."""

    digest: str
    content: bytes

    @classmethod
    def of(cls, content: bytes) -> SmallFile:
        return cls(f"sha256:{hashlib.sha256(content).hexdigest()}", content)


@dataclass(frozen=True, slots=True)
class SmallImage:
    """An image of tiny blobs.

    Attributes:
        repository: name of its repository.
        tag: its tag.
        manifest: its manifest.
        blobs: its config and layers.
        is_deleted: True if a client has deleted its manifest, and the collection has not come yet.
    """

    repository: str
    tag: str
    manifest: SmallFile
    blobs: Sequence[SmallFile]
    is_deleted: bool


def images(
    kept: int, deleted: int, *, in_repository: int = 100, layers: int = 3, blob_bytes: int = 1024
) -> Iterator[SmallImage]:
    """Yield images that share nothing.

    Args:
        kept: number of images with a tag.
        deleted: number of images whose manifests were deleted. They lie between the others.
        in_repository: number of images of each repository.
        layers: number of layers of an image. An image has two files more.
        blob_bytes: size of each blob.
    """
    total = kept + deleted
    for number in range(total):
        repository, tag = f"many/images-{number // in_repository:06}", f"1.0.{number:06}"
        media_types = [OCI_IMAGE_CONFIG, *(OCI_LAYER_GZIP for _ in range(layers))]
        blobs = [
            SmallFile.of(f"{number} {part} ".encode().ljust(blob_bytes, b"."))
            for part in ("config", *(f"layer {layer}" for layer in range(layers)))
        ]
        config, *rest = [
            {"mediaType": media_type, "digest": blob.digest, "size": len(blob.content)}
            for blob, media_type in zip(blobs, media_types, strict=True)
        ]
        body = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": rest}
        manifest = SmallFile.of(json.dumps(body).encode())
        # Spread evenly, so that each repository has some of both.
        is_deleted = number * deleted // total != (number + 1) * deleted // total
        yield SmallImage(repository, tag, manifest, blobs, is_deleted)


def add(
    data: Path,
    made: Iterable[SmallImage],
    *,
    deleted_ago: timedelta = timedelta(days=2),
    with_files: bool = True,
) -> None:
    """Add images to the store at `data`, as if clients had pushed all and deleted some of them.

    Args:
        data: the data folder. It may be in use.
        made: the images. The store must hold none of them.
        deleted_ago: time since the deletion.
        with_files: False to write the rows only.
    """
    layout = DataLayout(data)
    now = datetime.now(UTC)
    came_at, gone_at = _moment(now - timedelta(days=30)), _moment(now - deleted_ago)
    with closing(sqlite3.connect(layout.catalog, timeout=_TIMEOUT_SECONDS)) as catalog, catalog:
        ids: dict[str, int] = {}
        (last,) = catalog.execute("SELECT coalesce(max(id), 0) FROM repositories").fetchone()
        for some in _in_parts(made):
            for image in some:
                ids.setdefault(image.repository, last + len(ids) + 1)
                for file in (*image.blobs, image.manifest) if with_files else ():
                    kind, _, hexadecimal = file.digest.partition(":")
                    (layout.blob_folder(kind, hexadecimal[:2]) / hexadecimal).write_bytes(file.content)
            _write(catalog, some, ids, came_at, gone_at)


def _write(
    catalog: sqlite3.Connection, some: Sequence[SmallImage], ids: dict[str, int], came_at: str, gone_at: str
) -> None:
    """Write the rows of some images."""

    def put(table: str, columns: str, rows: Iterable[tuple[object, ...]]) -> None:
        places = ", ".join("?" for _ in columns.split(","))
        catalog.executemany(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({places})", rows)

    kept, gone = [one for one in some if not one.is_deleted], [one for one in some if one.is_deleted]
    files = [file for one in some for file in (*one.blobs, one.manifest)]
    put("repositories", "id, name", [(ids[one.repository], one.repository) for one in some])
    put("blobs", "digest, size_bytes, stored_at", [(file.digest, len(file.content), came_at) for file in files])
    put(
        "repository_blobs",
        "repository_id, digest, added_at",
        [(ids[one.repository], blob.digest, came_at) for one in some for blob in one.blobs],
    )
    # Before their manifests: a manifest that comes without them counts as unread, and keeps its repository.
    put(
        "manifest_children",
        "repository, child, manifest, kind, of_plugin",
        [(one.repository, blob.digest, one.manifest.digest, "blob", False) for one in kept for blob in one.blobs],
    )
    put(
        "manifests",
        "repository_id, digest, media_type, created_at",
        [(ids[one.repository], one.manifest.digest, OCI_MANIFEST, came_at) for one in kept],
    )
    put(
        "tags",
        "repository_id, name, digest, updated_at, pushed",
        [(ids[one.repository], one.tag, one.manifest.digest, came_at, True) for one in kept],
    )
    waiting = [
        *(("blob", one.repository, blob.digest) for one in gone for blob in one.blobs),
        *(("content", "", one.manifest.digest) for one in gone),
    ]
    put(
        "reviews",
        "kind, repository, digest, cause, since, counts_from, attempts",
        [(*about, "deleted", gone_at, gone_at, 0) for about in waiting],
    )


def _in_parts(made: Iterable[SmallImage]) -> Iterator[list[SmallImage]]:
    left = iter(made)
    while some := list(itertools.islice(left, _ROWS)):
        yield some


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S.%f}"
