from __future__ import annotations

import pytest

from mirror.oci import Digest
from mirror.oci.errors import UpstreamProtocolError
from mirror.transfer.copy_plan import ContentGraph, plan
from tests.support.builders import index, plugin

CONFIG, SMALL, BIG = b"{}\n", b"small layer", b"a layer that is bigger"
PLUGIN = plugin(CONFIG, SMALL, BIG)
OTHER = plugin(CONFIG, BIG)


def test_the_biggest_blob_first() -> None:
    planned = plan(ContentGraph(PLUGIN, {}), held=())
    assert [blob.size_bytes for blob in planned.blobs] == [len(BIG), len(SMALL), len(CONFIG)]
    assert planned.size_bytes == len(BIG) + len(SMALL) + len(CONFIG)
    assert planned.manifests == (PLUGIN,)


def test_what_is_held_stays_where_it_is() -> None:
    planned = plan(ContentGraph(PLUGIN, {}), held={Digest.of(BIG), Digest.of(b"something else")})
    assert [blob.digest for blob in planned.blobs] == [Digest.of(SMALL), Digest.of(CONFIG)]


def test_children_before_parents_and_everything_once() -> None:
    inner = index(OTHER.descriptor, PLUGIN.descriptor)
    root = index(PLUGIN.descriptor, inner.descriptor, PLUGIN.descriptor)
    graph = ContentGraph(root, {manifest.digest: manifest for manifest in (inner, PLUGIN, OTHER)})
    planned = plan(graph, held=())
    assert planned.manifests == (PLUGIN, OTHER, inner, root)
    assert len(planned.blobs) == 3


def test_members_that_were_not_read_are_left_out() -> None:
    root = index(PLUGIN.descriptor, OTHER.descriptor)
    planned = plan(ContentGraph(root, {OTHER.digest: OTHER}), held=())
    assert planned.manifests == (OTHER, root)
    assert {blob.digest for blob in planned.blobs} == {Digest.of(CONFIG), Digest.of(BIG)}


def test_one_digest_has_one_size() -> None:
    liar = plugin(CONFIG, BIG, layer_size_bytes=5)
    root = index(PLUGIN.descriptor, liar.descriptor)
    with pytest.raises(UpstreamProtocolError, match="two sizes"):
        plan(ContentGraph(root, {PLUGIN.digest: PLUGIN, liar.digest: liar}), held=())
