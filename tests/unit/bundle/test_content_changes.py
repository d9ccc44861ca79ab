"""Changes that a bundle brings, as far as its manifests are known."""

from __future__ import annotations

from mirror.bundle.format.bundle_index import NamedManifest
from mirror.bundle.report.content_changes import KnownFacts, NameStatus, compare_names
from mirror.bundle.report.content_facts import ContentFacts
from mirror.oci import Descriptor, Digest, Repository, Tag
from mirror.oci.media_types import OCI_INDEX

INDEX, ARM, AMD, FORMER = (Digest.of(text) for text in (b"index", b"arm", b"amd", b"former"))
NAMED = NamedManifest(Repository("acme/driver"), Tag("1"), Descriptor(OCI_INDEX, INDEX, 8))
HOST, MOUNT = ("network", "host"), ("mount", "/srv")


def of_index(*members: Digest) -> ContentFacts:
    return ContentFacts("index", 8, members=members)


def of_plugin(*privileges: tuple[str, str]) -> ContentFacts:
    return ContentFacts("plugin", 8, privileges=privileges)


def test_an_index_has_the_privileges_of_its_members():
    facts = {INDEX: of_index(ARM, AMD), ARM: of_plugin(HOST), AMD: of_plugin(HOST, MOUNT), FORMER: of_plugin(HOST)}
    (change,) = compare_names([NAMED], {"acme/driver:1": FORMER}, KnownFacts(facts, {}))
    assert set(change.privileges or ()) == {HOST, MOUNT}
    assert (change.status, change.added, change.removed) == (NameStatus.CHANGED, (MOUNT,), ())


def test_the_privileges_of_an_index_without_known_members_are_not_known():
    (change,) = compare_names([NAMED], {}, KnownFacts({INDEX: of_index()}, {}))
    assert change.privileges is None
    (change,) = compare_names([NAMED], {}, KnownFacts({INDEX: of_index(ARM), ARM: ContentFacts("artifact", 8)}, {}))
    assert change.privileges == ()


def test_an_index_with_an_unreadable_member_and_one_in_a_circle_are_judged():
    unreadable = ContentFacts("plugin", 8, privileges=None)
    facts = {INDEX: of_index(ARM, AMD), ARM: of_plugin(HOST), AMD: unreadable}
    (change,) = compare_names([NAMED], {}, KnownFacts(facts, {}))
    assert change.privileges is None
    (change,) = compare_names([NAMED], {}, KnownFacts({INDEX: of_index(INDEX, ARM), ARM: of_plugin(HOST)}, {}))
    assert change.privileges == (HOST,)


def test_content_is_believed_before_the_report():
    facts = KnownFacts({INDEX: of_plugin(HOST)}, {INDEX: of_plugin()})
    (change,) = compare_names([NAMED], {}, facts)
    assert (change.privileges, change.is_reported) == ((HOST,), False)
