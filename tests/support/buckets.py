"""Buckets of a real S3 server, and stores on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from mirror.store.bucket.bucket import Bucket, BucketAccess, ListedObject
from mirror.store.registry import Store
from tests.harness.bucket_server import ACCESS_KEY_ID, BUCKET, SECRET_KEY, BucketServer


def new_bucket(server: BucketServer) -> BucketAccess:
    """Return access to a part of the bucket that no other test uses."""
    return BucketAccess(BUCKET, f"site/{uuid4().hex}", server.url, "us-east-1", ACCESS_KEY_ID, SECRET_KEY)


def through(access: BucketAccess, endpoint: str) -> BucketAccess:
    """Return access to the same bucket by another address."""
    return replace(access, endpoint=endpoint)


@asynccontextmanager
async def bucket_store(folder: Path, access: BucketAccess, **more: Any) -> AsyncIterator[Store]:
    """Open a store whose content is in a bucket, with the data folder as its cache."""
    async with Store.open(folder, bucket=Bucket(access), **more) as store:
        yield store


async def objects_of(store: Store) -> list[ListedObject]:
    """Return the objects with content that the bucket holds."""
    assert store.objects is not None
    return [listed async for listed in store.objects.bucket.list_objects("blobs")]


def cached(folder: Path) -> list[Path]:
    """Return the files of content in a data folder."""
    return sorted(file for file in (folder / "blobs").glob("*/*/*") if file.is_file())


def drop_cache(folder: Path) -> None:
    """Remove all files of content from a data folder, as if all had given way."""
    for file in cached(folder):
        file.unlink()
