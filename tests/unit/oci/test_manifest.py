import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Descriptor, Digest, Manifest, media_types
from mirror.oci.errors import ContentTooLarge, DigestInvalid, ManifestInvalid, MirrorError
from mirror.oci.manifest import MAX_MANIFEST_BYTES

CONFIG = Descriptor(media_types.DOCKER_PLUGIN_CONFIG, Digest.of(b"config"), 6)
LAYER = Descriptor(media_types.DOCKER_LAYER_GZIP, Digest.of(b"layer"), 5)


def encoded(**members):
    body = {"schemaVersion": 2, "mediaType": media_types.DOCKER_MANIFEST, "config": CONFIG.to_json()}
    body |= {"layers": [LAYER.to_json()]} | members
    return json.dumps({name: value for name, value in body.items() if value is not ...}).encode()


def parsed(**members):
    return Manifest.parse(encoded(**members), members.get("mediaType", media_types.DOCKER_MANIFEST))


def test_a_plugin_manifest():
    manifest = parsed()
    assert manifest.is_plugin
    assert manifest.blobs == (CONFIG, LAYER)
    assert manifest.content_size_bytes == 11
    assert manifest.content == encoded()
    assert manifest.descriptor == Descriptor(media_types.DOCKER_MANIFEST, Digest.of(encoded()), len(encoded()))


def test_a_blob_named_twice_counts_once():
    assert parsed(layers=[LAYER.to_json(), LAYER.to_json()]).content_size_bytes == 11


def test_foreign_layers_need_not_be_here():
    foreign = LAYER.to_json() | {"mediaType": media_types.DOCKER_LAYER_FOREIGN}
    elsewhere = LAYER.to_json() | {"urls": ["https://example.com/layer"]}
    assert parsed(layers=[foreign, elsewhere]).blobs == (CONFIG,)


@pytest.mark.parametrize("layers", [..., None, []])
def test_no_layers_is_a_manifest(layers):
    assert parsed(layers=layers).layers == ()


def test_an_index():
    member = LAYER.to_json() | {
        "mediaType": media_types.OCI_MANIFEST,
        "platform": {"os": "linux", "architecture": "arm64"},
    }
    body = {"schemaVersion": 2, "manifests": [member]}
    index = Manifest.parse(json.dumps(body).encode(), media_types.OCI_INDEX)
    assert index.config is None
    assert [entry.platform for entry in index.manifests] == [{"os": "linux", "architecture": "arm64"}]
    assert index.blobs == ()


@pytest.mark.parametrize(
    ("media_type", "is_blob"),
    [
        *((media_type, False) for media_type in media_types.MANIFESTS),
        ("Application/VND.OCI.image.index.v1+JSON", False),
        (media_types.OCI_LAYER_GZIP, True),
        (media_types.DOCKER_LAYER_GZIP, True),
        ("application/vnd.oci.image.layer.v1.tar+zstd", True),
        ("application/vnd.buildkit.cacheconfig.v0", True),
        ("application/vnd.example.anything", True),
    ],
)
def test_a_member_of_an_index_is_a_blob_unless_its_type_is_a_manifests(media_type, is_blob):
    member = LAYER.to_json() | {"mediaType": media_type}
    body = {"schemaVersion": 2, "manifests": [member, member]}
    index = Manifest.parse(json.dumps(body).encode(), media_types.OCI_INDEX)
    assert (len(index.manifests), len(index.blob_members)) == ((0, 2) if is_blob else (2, 0))
    assert len(index.blobs) == is_blob
    assert index.content_size_bytes == (LAYER.size_bytes if is_blob else 0)


def test_the_type_may_stand_in_the_header_only():
    manifest = Manifest.parse(encoded(mediaType=...), media_types.DOCKER_MANIFEST + "; charset=utf-8")
    assert manifest.media_type == media_types.DOCKER_MANIFEST


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_the_digest_it_must_have(algorithm):
    digest = Digest.of(encoded(), algorithm)
    assert Manifest.parse(encoded(), media_types.DOCKER_MANIFEST, digest).digest == digest
    with pytest.raises(DigestInvalid):
        Manifest.parse(encoded() + b" ", media_types.DOCKER_MANIFEST, digest)


@pytest.mark.parametrize(
    ("artifact_type", "config_type", "listed"),
    [
        ("application/x", "application/vnd.oci.empty.v1+json", "application/x"),
        (..., "application/y", "application/y"),
        ("", "application/y", "application/y"),
    ],
)
def test_how_a_referrer_is_listed(artifact_type, config_type, listed):
    config = CONFIG.to_json() | {"mediaType": config_type}
    manifest = parsed(artifactType=artifact_type, config=config, annotations={"a": "b"}, subject=LAYER.to_json())
    referrer = manifest.as_referrer()
    assert (referrer.artifact_type, referrer.annotations) == (listed, {"a": "b"})
    assert (referrer.digest, referrer.size_bytes) == (manifest.digest, manifest.size_bytes)


@pytest.mark.parametrize(
    "members",
    [{"artifactType": "x" * 255}, {"config": CONFIG.to_json() | {"mediaType": "x" * 255}}],
)
def test_the_longest_type_of_an_artifact(members):
    assert parsed(**members).as_referrer().artifact_type == "x" * 255


def test_a_longer_type_that_is_here_already():
    manifest = Manifest.parse_stored(encoded(artifactType="x" * 256), media_types.DOCKER_MANIFEST)
    assert manifest.as_referrer().text_length == 256


@pytest.mark.parametrize(
    "members",
    [
        {"schemaVersion": 1},
        {"schemaVersion": ...},
        {"mediaType": media_types.OCI_MANIFEST},
        {"config": ...},
        {"config": []},
        {"config": {"digest": str(CONFIG.digest), "size": 1}},
        {"config": CONFIG.to_json() | {"digest": "sha256:00"}},
        {"config": CONFIG.to_json() | {"size": -1}},
        {"config": CONFIG.to_json() | {"size": "6"}},
        {"config": CONFIG.to_json() | {"size": True}},
        {"config": CONFIG.to_json() | {"size": 2**70}},
        {"layers": {}},
        {"layers": [None]},
        {"layers": [LAYER.to_json() | {"urls": [1]}]},
        {"layers": [LAYER.to_json()] * 10_001},
        {"annotations": {"a": 1}},
        {"artifactType": 1},
        {"artifactType": "x" * 256},
        {"config": CONFIG.to_json() | {"mediaType": "x" * 256}},
        {"subject": "sha256:00"},
        {"manifests": []},
        {"fsLayers": []},
    ],
)
def test_what_is_refused(members):
    with pytest.raises(ManifestInvalid):
        Manifest.parse(encoded(**members), media_types.DOCKER_MANIFEST)


LONG = "\0" * 10_000


@pytest.mark.parametrize(
    "members",
    [
        {"mediaType": LONG},
        {"mediaType": [LONG]},
        {"schemaVersion": LONG},
        {"artifactType": [LONG]},
        {"annotations": {LONG: 1}},
        {"config": CONFIG.to_json() | {"digest": LONG}},
        {"config": CONFIG.to_json() | {"digest": f"sha256:{LONG}"}},
        {"config": CONFIG.to_json() | {"digest": "a" * 10_000 + ":0"}},
        {"config": CONFIG.to_json() | {"size": LONG}},
        {"layers": [LAYER.to_json() | {"urls": {LONG: 1}}]},
        {"config": CONFIG.to_json() | {"MEDIATYPE": LONG}},
        {"a" + LONG: 1, "A" + LONG: 2},
    ],
)
def test_what_is_refused_is_not_told_whole(members):
    try:
        manifest = Manifest.parse_stored(encoded(**members), media_types.DOCKER_MANIFEST)
    except ManifestInvalid as error:
        told = f"{error}{error.detail}"
    else:
        told = manifest.ambiguity or ""
    assert len(told) < 2000


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{", b"\xff", b"{}x", b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_no_json_object(content):
    with pytest.raises(ManifestInvalid):
        Manifest.parse(content, media_types.DOCKER_MANIFEST)


@pytest.mark.parametrize("media_type", ["", "application/json", "text/html", media_types.DOCKER_PLUGIN_CONFIG])
def test_types_that_are_no_manifests(media_type):
    with pytest.raises(ManifestInvalid, match="Content-Type"):
        Manifest.parse(encoded(), media_type)


def test_the_largest_manifest():
    padding = MAX_MANIFEST_BYTES - len(encoded(annotations={"a": ""}))
    assert len(parsed(annotations={"a": "x" * padding}).content) == MAX_MANIFEST_BYTES
    with pytest.raises(ContentTooLarge):
        parsed(annotations={"a": "x" * (padding + 1)})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["config", "layers", "manifests", "subject", "annotations"]), json_values))
def test_whatever_the_members_hold_only_errors_of_the_tree_are_raised(members):
    for media_type in media_types.MANIFESTS:
        content = json.dumps({"schemaVersion": 2} | members).encode()
        try:
            assert Manifest.parse(content, media_type).content == content
        except MirrorError as error:
            assert isinstance(error, ManifestInvalid)


@given(
    st.builds(
        Descriptor,
        media_type=st.text(min_size=1, max_size=20),
        digest=st.binary(max_size=4).map(Digest.of),
        size_bytes=st.integers(0, 2**63 - 1),
        artifact_type=st.none() | st.text(min_size=1, max_size=9),
        annotations=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
        urls=st.lists(st.text(max_size=9), max_size=2).map(tuple),
    )
)
def test_a_descriptor_is_kept(descriptor):
    assert Descriptor.from_json(json.loads(json.dumps(descriptor.to_json())), "it") == descriptor
