"""Lists that would need much memory are returned in shorter pages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mirror.oci import Digest, Manifest
from mirror.oci.media_types import OCI_INDEX, OCI_MANIFEST
from mirror.store.registry import Store
from mirror.wire.pagination import PageRequest
from tests.support.builders import REPOSITORY

SUBJECT = Digest.of(b"subject")
LONG = 100_000


def referrer(number: int, cpu_offload: str) -> Manifest:
    content = {
        "schemaVersion": 2,
        "manifests": [],
        "subject": {"mediaType": OCI_MANIFEST, "digest": str(SUBJECT), "size": 7},
        "number": number,
        **({"annotations": {"long": "x" * LONG}} if cpu_offload == "annotations" else {"artifactType": "x" * LONG}),
    }
    return Manifest.parse_stored(json.dumps(content).encode(), OCI_INDEX)


@pytest.mark.parametrize("heavy", ["annotations", "type"])
@pytest.mark.parametrize("limit", [None, 3])
async def test_heavy_referrers_come_in_short_pages_and_all_of_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch, limit: int | None, heavy: str
) -> None:
    monkeypatch.setattr("mirror.store.lister._MOST_WEIGHT", 4 * LONG)
    manifests = sorted((referrer(number, heavy) for number in range(12)), key=lambda each: str(each.digest))
    found: list[Digest] = []
    sizes: list[int] = []
    async with Store.open(folder) as store:
        for manifest in manifests:
            await store.put_manifest(REPOSITORY, manifest)
        page = PageRequest(limit)
        while True:
            part = await store.list_referrers(REPOSITORY, SUBJECT, None, page)
            sizes.append(len(part.entries))
            found += [each.digest for each in part.entries]
            if not part.more:
                break
            page = PageRequest(limit, str(found[-1]))
    assert found == [manifest.digest for manifest in manifests]
    assert max(sizes) <= (limit or 5)
