"""Makes ``revision-0014.tar.gz``. It is run with the code of the commit that README.md names, not with today's."""

from __future__ import annotations

import asyncio
import io
import sys
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from mirror.oci import Digest, Repository, Tag
from mirror.records.admissions import AdmissionDecision, Subject
from mirror.records.derivations import Derivation
from mirror.records.origins import Origin
from mirror.store.registry import Store
from tests.support.builders import hold, index, plugin, push_blob, push_image

IMAGE, DRIVER, COPY = Repository("acme/image"), Repository("acme/driver"), Repository("acme/copy")
DAMAGED, PULLED = Repository("acme/damaged"), Repository("pulled/driver")
MOMENT = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Standing:
    """A clock that stands still."""

    def now(self):
        return MOMENT

    def monotonic_seconds(self):
        return MOMENT.timestamp()


async def images(store):
    await push_image(store, "1.0", "1.0", repository=IMAGE)
    untagged = await push_image(store, "garbage: untagged", "latest", repository=IMAGE)
    latest = await push_image(store, "latest", "latest", repository=IMAGE)
    await push_image(store, "signature", repository=IMAGE, subject=latest.descriptor.to_json())
    await push_image(store, "garbage: signature", repository=IMAGE, subject=untagged.descriptor.to_json())
    members = [await push_image(store, platform, repository=IMAGE) for platform in ("amd64", "arm64")]
    await store.put_manifest(IMAGE, index(*(one.descriptor for one in members)), [Tag("multi")])
    member = await push_image(store, "garbage: member", repository=IMAGE)
    await store.put_manifest(IMAGE, index(member.descriptor))
    await push_blob(store, b"garbage: in no manifest", IMAGE)
    deleted = await push_blob(store, b"garbage: deleted", IMAGE)
    await store.delete_blob(IMAGE, deleted.digest)
    deleted = await push_image(store, "garbage: deleted", "deleted", repository=IMAGE)
    await store.delete_manifest(IMAGE, deleted.digest)
    await push_image(store, "garbage: repository", repository=Repository("acme/gone"))


async def plugins(store):
    tagged = plugin(b'{"Description":"tagged"}', b"layer of a plugin")
    await hold(store, DRIVER, [b'{"Description":"tagged"}', b"layer of a plugin"], [tagged], "1.0")
    approved = plugin(b'{"Description":"approved"}', b"layer of an approved plugin")
    await hold(store, DRIVER, [b'{"Description":"approved"}', b"layer of an approved plugin"], [approved])
    subject = Subject(approved.digest, (str(approved.digest),))
    await store.records.decisions.decide(DRIVER, [subject], AdmissionDecision(True, "alice", MOMENT, "ticket 1"))
    original = plugin(b'{"Description":"original"}', b"layer of an original")
    await hold(store, DRIVER, [b'{"Description":"original"}', b"layer of an original"], [original])
    copy = plugin(b'{"Description":"copy"}', b"layer of an original")
    await hold(store, COPY, [b'{"Description":"copy"}', b"layer of an original"], [copy], "1.0")
    derivation = Derivation("acme/driver", original.digest, "user root", MOMENT, {}, ())
    await store.records.derivations.record_derivation(copy.digest, derivation)


async def pulled(store):
    whole = plugin(b'{"Description":"pulled"}', b"layer of a pulled plugin")
    coming = plugin(b'{"Description":"coming"}', b"not here yet")
    for manifest, tag in ((whole, "1.0"), (coming, "2.0")):
        origin = Origin("hub", PULLED, manifest.digest, MOMENT, MOMENT)
        await store.records.incomplete.keep_incomplete(PULLED, manifest, origin, Tag(tag))
    for blob in (b'{"Description":"pulled"}', b"layer of a pulled plugin", b'{"Description":"coming"}'):
        await push_blob(store, blob, PULLED)
        await store.records.incomplete.arrived(PULLED, Digest.of(blob))


async def make(folder):
    async with Store.open(folder, clock=Standing()) as store:
        await images(store)
        await plugins(store)
        await pulled(store)
        damaged = await push_image(store, "damaged", "1.0", repository=DAMAGED)
        await push_blob(store, b"perhaps a layer of the damaged image", DAMAGED)
    for digest, content in ((damaged.digest, b"damaged"), (Digest.of(b"garbage: orphan"), b"garbage: orphan")):
        (folder / "blobs" / "sha256" / digest.hex[:2] / digest.hex).write_bytes(content)


def main():
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "data"
        asyncio.run(make(folder))
        for spare in folder.glob("reserve*"):
            spare.unlink()
        with tarfile.open(sys.argv[1], "w:gz") as archive:
            for path in sorted(folder.rglob("*")):
                info = archive.gettarinfo(path, str(path.relative_to(folder)))
                info.uid = info.gid = 0
                info.uname = info.gname = ""
                info.mtime = int(MOMENT.timestamp())
                archive.addfile(info, io.BytesIO(path.read_bytes()) if path.is_file() else None)


if __name__ == "__main__":
    main()
