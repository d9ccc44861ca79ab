"""Makes ``revision-0007.tar.gz``. It is run with the code of the commit that README.md names, not with today's."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import tarfile
import tempfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mirror.filters.admit import Admit, Withhold
from mirror.filters.judging import Judge
from mirror.filters.plugin_checks import PluginChecks
from mirror.oci import media_types
from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.errors import Denied
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository, Tag
from mirror.plugin.policy import Action, Policy, Rule
from mirror.plugin.privilege_pattern import PrivilegePattern
from mirror.registry.admissions import Decision
from mirror.registry.origins import Origin
from mirror.registry.streams import one
from mirror.registry.users import User
from mirror.store.registry import Store

DRIVER, IMAGE, PULLED = Repository("acme/driver"), Repository("acme/image"), Repository("pulled/driver")
MOMENT = datetime(2026, 11, 1, 12, tzinfo=UTC)
NETWORK = {"Network": {"Type": "host"}}


class Ticking:
    """A minute goes by with every look at it."""

    def __init__(self) -> None:
        self._now = MOMENT

    def now(self) -> datetime:
        self._now += timedelta(minutes=1)
        return self._now

    def monotonic_seconds(self) -> float:
        return self._now.timestamp()


async def blob(registry, repository, content, media_type):
    upload = await registry.begin_upload(repository)
    await upload.append(one(content))
    held = await upload.commit(Digest.of(content))
    return Descriptor(media_type, held.digest, held.size_bytes)


async def plugin(registry, tag, **config):
    layer = await blob(registry, DRIVER, b"layer of " + tag.encode(), media_types.DOCKER_LAYER_GZIP)
    described = await blob(registry, DRIVER, json.dumps(config).encode(), media_types.DOCKER_PLUGIN_CONFIG)
    body = {"schemaVersion": 2, "config": described.to_json(), "layers": [layer.to_json()]}
    manifest = Manifest.parse(json.dumps(body).encode(), media_types.DOCKER_MANIFEST)
    await registry.put_manifest(DRIVER, manifest, [Tag(tag)])
    return manifest.digest


async def make(folder: Path) -> None:
    clock = Ticking()
    modules = Rule("no-modules", Action.DENY, privileges=(PrivilegePattern.parse("capabilities=CAP_SYS_MODULE"),))
    network = Rule("host-network", Action.HOLD, privileges=(PrivilegePattern.parse("network=host"),))
    async with Store.open(folder, clock=clock) as store:
        checks = PluginChecks(store, store, enforce=False)
        judge = Judge(store, Policy([modules, network]), store, clock, lambda _: None)
        admit, withhold = Admit(checks, judge), Withhold(store, judge)

        await plugin(checks, "denied", Linux={"Capabilities": ["CAP_SYS_MODULE"]})  # it was here before the policy
        with suppress(Denied):
            await withhold.get_manifest(DRIVER, Tag("denied"))
        await plugin(admit, "admitted", Description="asks for nothing")
        await plugin(admit, "held", Description="held", **NETWORK)
        approved = await plugin(admit, "approved", Description="approved", **NETWORK)
        await store.decide(DRIVER, approved, Decision(True, "alice", clock.now(), "ticket 1"))
        rejected = await plugin(admit, "rejected", Description="rejected", **NETWORK)
        await store.decide(DRIVER, rejected, Decision(False, "bob", clock.now(), "wants too much"))
        await store.decide(DRIVER, Digest.of(b"never came"), Decision(False, "bob", clock.now(), ""))
        await plugin(checks, "unjudged", Description="nobody has asked")

        members = []
        for name in ("amd64", "arm64"):
            config = await blob(store, IMAGE, json.dumps({"architecture": name}).encode(), media_types.OCI_IMAGE_CONFIG)
            body = {"schemaVersion": 2, "config": config.to_json(), "layers": []}
            image = Manifest.parse(json.dumps(body).encode(), media_types.OCI_MANIFEST)
            await store.put_manifest(IMAGE, image, [Tag(name)])
            members.append(image.descriptor.to_json())
        index = Manifest.parse(json.dumps({"schemaVersion": 2, "manifests": members}).encode(), media_types.OCI_INDEX)
        await store.put_manifest(IMAGE, index, [Tag("latest")])

        config = Descriptor(media_types.DOCKER_PLUGIN_CONFIG, Digest.of(b"{}"), 2)
        layer = Descriptor(media_types.DOCKER_LAYER_GZIP, Digest.of(b"not here yet"), 12)
        body = {"schemaVersion": 2, "config": config.to_json(), "layers": [layer.to_json()]}
        coming = Manifest.parse(json.dumps(body).encode(), media_types.DOCKER_MANIFEST)
        now = clock.now()
        await store.keep_incomplete(PULLED, coming, Origin("hub", PULLED, coming.digest, now, now), Tag("1"))
        await store.add_user(User("alice", "a hash that no password has", clock.now()))


def main() -> None:
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
