"""Makes ``revision-0009.tar.gz``. It is run with the code of the commit that README.md names, not with today's."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from mirror.filters.plugin_checks import PluginChecker, PluginChecks
from mirror.filters.shared_layers import SharedLayerReader
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, media_types
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS
from mirror.registry.streams import single_chunk
from mirror.store.registry import Store

DRIVER = Repository("acme/driver")
PROGRAM = b"#!/bin/sh\nlisten driver.sock\n"
MOMENT = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Standing:
    """A clock that stands still."""

    def now(self):
        return MOMENT

    def monotonic_seconds(self):
        return MOMENT.timestamp()


def layer():
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo("bin/driver")
        info.size, info.mode = len(PROGRAM), 0o755
        archive.addfile(info, io.BytesIO(PROGRAM))
    return packed.getvalue()


async def blob(registry, content, media_type):
    upload = await registry.begin_upload(DRIVER)
    await upload.append(single_chunk(content))
    held = await upload.commit(Digest.of(content))
    return Descriptor(media_type, held.digest, held.size_bytes)


async def make(folder):
    async with Store.open(folder, clock=Standing()) as store:
        config = {
            "Entrypoint": ["/bin/driver"],
            "Interface": {"Types": ["docker.volumedriver/1.0"], "Socket": "driver.sock"},
        }
        described = await blob(store, json.dumps(config).encode(), media_types.DOCKER_PLUGIN_CONFIG)
        body = {
            "schemaVersion": 2,
            "mediaType": media_types.DOCKER_MANIFEST,
            "config": described.to_json(),
            "layers": [(await blob(store, layer(), media_types.DOCKER_LAYER_GZIP)).to_json()],
        }
        manifest = Manifest.parse(json.dumps(body).encode(), media_types.DOCKER_MANIFEST)
        layers = SharedLayerReader(DEFAULT_LIMITS)
        checker = PluginChecker(store.records.findings.record_findings, layers, enforce=False)
        await PluginChecks(store, checker).put_manifest(DRIVER, manifest, [Tag("1.0")])


def main():
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "data"
        asyncio.run(make(folder))
        (folder / "reserve").unlink(missing_ok=True)
        with tarfile.open(sys.argv[1], "w:gz") as archive:
            for path in sorted(folder.rglob("*")):
                info = archive.gettarinfo(path, str(path.relative_to(folder)))
                info.uid = info.gid = 0
                info.uname = info.gname = ""
                info.mtime = int(MOMENT.timestamp())
                archive.addfile(info, io.BytesIO(path.read_bytes()) if path.is_file() else None)


if __name__ == "__main__":
    main()
