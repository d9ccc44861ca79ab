"""A small bundle whose bytes never change, and other programs that read it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import Final

from mirror.bundle.format.member import OCI_LAYOUT_CONTENT
from mirror.bundle.format.statement import NameOrigin, Notes, Since
from mirror.oci import Digest
from tests.support.builders import plugin
from tests.support.bundles import CREATED, BuiltBundle, build

CONFIG: Final = b'{"Description":"golden"}'
LAYER: Final = b"a layer" * 100


def golden() -> BuiltBundle:
    manifest = plugin(CONFIG, LAYER)
    return build(
        {"acme/driver:1.0": manifest, f"acme/driver@{manifest.digest}": manifest},
        [CONFIG, LAYER],
        stream="site",
        serial=3,
        previous=Digest.of(b"before"),
        since=Since(serial=2),
        notes=Notes({"acme/driver:1.0": NameOrigin("hub/acme/driver", CREATED)}, first_seen={manifest.digest: CREATED}),
        key_sets=[b"{}"],
        report=b"{}",
    )


def test_the_bytes_of_a_bundle_are_the_same_in_each_version() -> None:
    # A difference here is another format: bundles that were carried to a site must stay readable there.
    assert (
        hashlib.sha256(golden().envelope.payload).hexdigest()
        == "04ea5aac7a5d716e3dfbc08e74af439a83e5cf0857154b79dd0ecfaff821446a"
    )
    assert (
        hashlib.sha256(golden().content).hexdigest()
        == "d0034bcc713750b16fbc3f1c76cf7f14894f841ce1dbe69db89e28e1d8a40787"
    )


def test_python_reads_a_bundle_as_an_image_layout() -> None:
    built = golden()
    with tarfile.open(fileobj=io.BytesIO(built.content)) as tar:
        found = {info.name: tar.extractfile(info).read() for info in tar}
        kinds = {(info.type, info.mode, info.uid, info.gid, info.mtime) for info in tar}
    assert kinds == {(tarfile.REGTYPE, 0o644, 0, 0, 0)}
    assert list(found) == [placed.member.path for placed in built.layout.members]
    assert found["oci-layout"] == OCI_LAYOUT_CONTENT
    for name, content in found.items():
        if name.startswith("blobs/sha256/"):
            assert hashlib.sha256(content).hexdigest() == name.removeprefix("blobs/sha256/")
    listed = json.loads(found["index.json"])["manifests"]
    assert [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in listed] == [
        "acme/driver:1.0",
        f"acme/driver@{plugin(CONFIG, LAYER).digest}",
    ]
