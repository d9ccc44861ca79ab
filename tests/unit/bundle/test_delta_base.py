"""The content that a delta leaves out."""

from __future__ import annotations

from datetime import UTC, datetime

from mirror.bundle.delta.delta_base import DeltaBase
from mirror.bundle.delta.receipt import Receipt
from mirror.bundle.format.bundle_index import NamedManifest
from mirror.bundle.format.member import Member
from mirror.bundle.format.statement import Since, Statement
from mirror.oci import Descriptor, Digest, Repository, Tag
from mirror.oci.media_types import DOCKER_MANIFEST

NOW = datetime(2026, 11, 29, tzinfo=UTC)
MANIFEST, LAYER, LATER = Digest.of(b"manifest"), Digest.of(b"layer"), Digest.of(b"later manifest")


def named(digest: Digest, tag: str = "1") -> NamedManifest:
    return NamedManifest(Repository("acme/driver"), Tag(tag), Descriptor(DOCKER_MANIFEST, digest, 8))


def statement(serial: int, *digests: Digest) -> Statement:
    documents = [Member.of_content("oci-layout", b""), Member.of_content("index.json", b"")]
    return Statement("hub", serial, NOW, (*documents, *(Member.of_blob(digest, 8) for digest in digests)))


def test_a_receipt_says_what_its_sender_has():
    receipt = Receipt(NOW, frozenset({MANIFEST, LAYER}), {"acme/driver:1": MANIFEST}, {"hub": 3})
    base = DeltaBase.from_receipt(receipt)
    assert base.since == Since(receipt=receipt.digest)
    assert base.has_name(named(MANIFEST), [MANIFEST, LAYER])


def test_a_name_comes_again_with_another_digest_or_with_content_that_is_not_held():
    base = DeltaBase(Since(serial=1), {MANIFEST, LAYER, LATER}, {"acme/driver:1": MANIFEST})
    assert not base.has_name(named(LATER), [LATER])
    assert not base.has_name(named(MANIFEST, tag="2"), [MANIFEST])
    assert not base.has_name(named(MANIFEST), [MANIFEST, LAYER, Digest.of(b"member for another platform")])


def test_a_name_that_a_later_bundle_moved_is_not_sure():
    base = DeltaBase(Since(serial=1), {MANIFEST, LAYER}, {"acme/driver:1": MANIFEST, "acme/driver:2": MANIFEST})
    unsure = base.unsure_of([named(LATER), named(MANIFEST, tag="2")])
    assert unsure.names == {"acme/driver:2": MANIFEST}
    assert (unsure.since, unsure.digests) == (base.since, base.digests)


def test_exports_add_up_and_the_last_one_says_where_a_name_points():
    exports = [(statement(1, MANIFEST, LAYER), [named(MANIFEST)]), (statement(2, LATER), [named(LATER)])]
    base = DeltaBase.from_exports(2, exports)
    assert base.since == Since(serial=2)
    assert base.digests == {MANIFEST, LAYER, LATER}
    assert base.names == {"acme/driver:1": LATER}
