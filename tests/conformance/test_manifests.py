"""Points 19 to 23: pushing manifests."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.conformance.client import Name
from tests.conformance.content import (
    ALGORITHMS,
    CACHE_CONFIG,
    CONFIG,
    DOCKER_CONFIG,
    DOCKER_FOREIGN_LAYER,
    DOCKER_IMAGE,
    DOCKER_LAYER,
    DOCKER_LIST,
    EMPTY,
    FOREIGN_LAYER,
    IMAGE,
    INDEX,
    LAYER,
    artifact,
    descriptor,
    digest_of,
    encode,
    fresh,
    image,
    index,
)

FOUR_MIB = 4 * 1024 * 1024
SUBJECT = {"mediaType": IMAGE, "digest": digest_of(b"no such subject"), "size": 15}
algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)
bodies = pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
references = pytest.mark.parametrize("by", ["tag", *ALGORITHMS])


def target_of(manifest: bytes, by: str) -> str:
    return "tag" if by == "tag" else digest_of(manifest, by)


def is_accepted(name: Name, manifest: bytes, media_type: str, by: str = "tag", query: str = "") -> bool:
    target = target_of(manifest, by)
    expected = digest_of(manifest, "sha256" if by == "tag" else by)
    answer = name.put(manifest, media_type, target, query)
    assert answer.status == 201, answer.json
    assert answer["Docker-Content-Digest"] == expected
    assert answer["Content-Length"] == "0"
    assert answer.location in {name.manifest(expected), name.manifest(target)}
    got = name.client.get(answer.location)
    return (got.status, got.body, got["Content-Type"]) == (200, manifest, media_type)


@references
@pytest.mark.parametrize(
    "written",
    [
        pytest.param(lambda value: json.dumps(value, indent=3).encode(), id="indented"),
        pytest.param(lambda value: json.dumps(value, separators=(",", ":")).encode(), id="compact"),
        pytest.param(lambda value: json.dumps(value).encode() + b"\n", id="newline at the end"),
        pytest.param(lambda value: b" \r\n\t" + json.dumps(value).encode(), id="blanks in front"),
        pytest.param(lambda value: json.dumps(dict(reversed(value.items()))).encode(), id="other order"),
        pytest.param(lambda value: json.dumps(value | {"x": "\u20ac\U0001f600"}).encode(), id="escapes"),
        pytest.param(
            lambda value: json.dumps(value | {"x": "\u20ac\U0001f600"}, ensure_ascii=False).encode(), id="utf-8"
        ),
    ],
)
def test_19_bytes_are_kept_as_they_were_sent(name: Name, written: Any, by: str) -> None:
    name.push(b"{}")
    assert is_accepted(name, written(json.loads(artifact("application/vnd.example"))), IMAGE, by)


@algorithms
@bodies
def test_19_a_manifest_with_another_digest_is_400(name: Name, chunked: bool, algorithm: str) -> None:
    name.push(b"{}")
    manifest = artifact()
    changed = manifest + b"  "
    target = name.manifest(digest_of(manifest, algorithm))
    answer = name.client.ask("PUT", target, [("Content-Type", IMAGE)], [changed] if chunked else changed)
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    for each in (manifest, changed):
        assert name.client.head(name.manifest(digest_of(each, algorithm))).status == 404


@pytest.mark.parametrize("reference", ["sha256:abc", "md5:" + "a" * 32, "sha256:" + "A" * 64, "sha512:" + "a" * 64])
def test_19_a_digest_that_is_none_is_400(name: Name, reference: str) -> None:
    name.push(b"{}")
    answer = name.put(artifact(), IMAGE, reference)
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


@pytest.mark.two_workers
@references
def test_19_a_put_repeats(name: Name, by: str) -> None:
    name.push(b"{}")
    for _ in range(2):
        assert is_accepted(name, artifact(), IMAGE, by)


@pytest.mark.two_workers
def test_19_a_tag_moves(name: Name) -> None:
    name.push(b"{}")
    manifests = [artifact(annotations={"n": str(number)}) for number in range(3)]
    for manifest in [*manifests, manifests[0]]:
        assert name.put(manifest, IMAGE, "moving").status == 201
        assert name.client.get(name.manifest("moving")).body == manifest
        assert name.client.head(name.manifest("moving"))["Docker-Content-Digest"] == digest_of(manifest)
    for manifest in manifests:
        assert name.client.get(name.manifest(digest_of(manifest))).body == manifest


def images(name: Name, algorithm: str) -> dict[str, tuple[bytes, str]]:
    """Manifests of each of ``KINDS`` with their types. Their blobs are pushed."""
    config, layer = fresh(), fresh()
    for content in (config, layer, b"{}"):
        name.push(content, algorithm)
    layers = [descriptor(LAYER, layer, algorithm)]
    missing = fresh()
    foreign = [
        descriptor(media_type, missing, algorithm, urls=["https://elsewhere.example/blob"])
        for media_type in (FOREIGN_LAYER, FOREIGN_LAYER.removesuffix("+gzip"), DOCKER_FOREIGN_LAYER)
    ]
    docker = {
        "mediaType": DOCKER_IMAGE,
        "config": descriptor(DOCKER_CONFIG, config, algorithm),
        "layers": [descriptor(DOCKER_LAYER, layer, algorithm)],
    }
    empty_config = {"config": descriptor(EMPTY, b"{}", algorithm)}
    data = {"data": base64.b64encode(config).decode()}
    unknown = {"org.example.unknown": {"a": [1, None, {"b": True}]}, "": 0}
    return {
        "image": (image(config, layer, algorithm=algorithm), IMAGE),
        "docker image": (image(config, **docker), DOCKER_IMAGE),
        "same layer twice": (image(config, layers=layers * 2, algorithm=algorithm), IMAGE),
        "no layers": (image(config, algorithm=algorithm), IMAGE),
        "unknown fields": (image(config, layers=[layers[0] | unknown], algorithm=algorithm, **unknown), IMAGE),
        "data": (image(config, layers=layers, config=descriptor(CONFIG, config, algorithm, **data)), IMAGE),
        "artifact": (image(config, layers=layers, artifactType="application/vnd.example+json", **empty_config), IMAGE),
        "artifact without layers": (image(config, artifactType="application/vnd.example", **empty_config), IMAGE),
        "artifact with an empty layer": (
            image(config, layers=[descriptor(EMPTY, b"{}", algorithm)], artifactType="a/b", **empty_config),
            IMAGE,
        ),
        "any layer type": (image(config, layers=[layers[0] | {"mediaType": "text/plain"}], algorithm=algorithm), IMAGE),
        "any config type": (image(config, config=descriptor("a/b", config, algorithm)), IMAGE),
        "foreign layers": (image(config, layers=[*foreign, *layers], algorithm=algorithm), IMAGE),
        "foreign layers without urls": (
            image(config, layers=[descriptor(FOREIGN_LAYER, missing, algorithm), *layers], algorithm=algorithm),
            IMAGE,
        ),
        "missing subject": (image(config, layers=layers, algorithm=algorithm, subject=SUBJECT), IMAGE),
        "annotations": (image(config, layers=layers, algorithm=algorithm, annotations={"k": "ä", "": ""}), IMAGE),
        "platform": (image(config, layers=[layers[0] | {"platform": {"os": "x"}}], algorithm=algorithm), IMAGE),
    }


KINDS = [
    "image",
    "docker image",
    "same layer twice",
    "no layers",
    "unknown fields",
    "data",
    "artifact",
    "artifact without layers",
    "artifact with an empty layer",
    "any layer type",
    "any config type",
    "foreign layers",
    "foreign layers without urls",
    "missing subject",
    "annotations",
    "platform",
]


@algorithms
@references
@pytest.mark.parametrize("kind", KINDS)
def test_20_an_image(name: Name, kind: str, by: str, algorithm: str) -> None:
    manifest, media_type = images(name, algorithm)[kind]
    assert is_accepted(name, manifest, media_type, by)


@algorithms
@references
@pytest.mark.parametrize("media_type", [INDEX, DOCKER_LIST])
@pytest.mark.parametrize(
    "members",
    [
        {},
        {"subject": SUBJECT},
        {"artifactType": "application/vnd.example+json"},
        {"annotations": {"k": "v"}},
        {"org.example.unknown": [1]},
    ],
    ids=["plain", "subject", "artifact", "annotations", "unknown fields"],
)
def test_20_an_index(name: Name, members: dict[str, Any], media_type: str, by: str, algorithm: str) -> None:
    name.push(b"{}")
    amd64, arm64 = artifact(annotations={"for": "amd64"}), artifact(annotations={"for": "arm64"})
    listed = []
    for manifest, architecture in ((amd64, "amd64"), (arm64, "arm64")):
        assert name.put(manifest, IMAGE, digest_of(manifest, algorithm)).status == 201
        platform = {"os": "linux", "architecture": architecture}
        listed.append(descriptor(IMAGE, manifest, algorithm, platform=platform))
    assert is_accepted(name, index(manifests=listed, mediaType=media_type, **members), media_type, by)


@references
def test_20_an_index_of_nothing(name: Name, by: str) -> None:
    assert is_accepted(name, index(), INDEX, by)


@pytest.mark.two_workers
@algorithms
@references
def test_20_an_index_of_indexes(name: Name, by: str, algorithm: str) -> None:
    name.push(b"{}")
    leaf = artifact()
    assert name.put(leaf, IMAGE, digest_of(leaf, algorithm)).status == 201
    nested = index(leaf, algorithm=algorithm)
    for depth in range(5):
        assert is_accepted(name, nested, INDEX, algorithm)
        nested = index(manifests=[descriptor(INDEX, nested, algorithm)], annotations={"depth": str(depth)})
    assert is_accepted(name, nested, INDEX, by)


@algorithms
@references
@pytest.mark.parametrize("child", ["config", "layer", "member"])
def test_20_another_child_that_is_missing_is_refused(name: Name, child: str, by: str, algorithm: str) -> None:
    held, missing = fresh(), fresh()
    name.push(held, algorithm)
    media_type = INDEX if child == "member" else IMAGE
    manifest = {
        "config": image(missing, held, algorithm=algorithm),
        "layer": image(held, held, missing, algorithm=algorithm),
        "member": index(image(held, algorithm=algorithm), algorithm=algorithm),
    }[child]
    answer = name.put(manifest, media_type, target_of(manifest, by))
    assert (answer.status, answer.code) == (400, "MANIFEST_BLOB_UNKNOWN")
    absent = digest_of(image(held, algorithm=algorithm) if child == "member" else missing, algorithm)
    assert absent in answer.json["errors"][0]["message"]
    assert name.client.head(name.manifest(target_of(manifest, by))).status == 404


@pytest.mark.two_workers
def test_20_a_child_must_be_in_the_same_repository(name: Name, other: Name) -> None:
    config = fresh()
    other.push(config)
    other.put(image(config), IMAGE, "1")
    assert name.put(image(config), IMAGE, "1").code == "MANIFEST_BLOB_UNKNOWN"
    assert name.put(index(image(config)), INDEX, "1").code == "MANIFEST_BLOB_UNKNOWN"


def test_20_a_blob_is_no_member_of_an_index_and_a_manifest_no_layer(name: Name) -> None:
    config = fresh()
    name.push(config)
    manifest = image(config)
    name.put(manifest, IMAGE, "1")
    assert name.put(index(config), INDEX, "2").code == "MANIFEST_BLOB_UNKNOWN"
    assert name.put(image(config, manifest), IMAGE, "2").code == "MANIFEST_BLOB_UNKNOWN"


@pytest.mark.parametrize(("media_type", "layer_type"), [(INDEX, LAYER), (DOCKER_LIST, DOCKER_LAYER)])
def test_20_a_build_cache_is_pushed_and_pulled_as_buildkit_does(name: Name, media_type: str, layer_type: str) -> None:
    """``cache-to`` and ``cache-from`` of type=registry: an index of layers, with the cache's config as the last one."""
    layers, config = [fresh(), fresh()], encode({"layers": [{"blob": digest_of(fresh())}], "records": []})
    kinds = [(layer_type, layer) for layer in layers] + [(CACHE_CONFIG, config)]
    annotations = {"buildkit/createdat": "2026-11-28T18:28:40Z", "containerd.io/uncompressed": digest_of(fresh())}
    cache = index(
        mediaType=media_type,
        manifests=[descriptor(kind, blob, annotations=annotations) for kind, blob in kinds[:-1]]
        + [descriptor(CACHE_CONFIG, config)],
    )
    # The pusher of containerd: HEAD, then POST and PUT of what is missing, the manifest last.
    for kind, blob in kinds:
        assert name.client.head(name.blob(digest_of(blob)), ("Accept", f"{kind}, */*")).status == 404
        name.push(blob)
    accept = ("Accept", f"{media_type}, */*")
    assert name.client.head(name.manifest("cache"), accept).status == 404
    assert name.put(cache, media_type, "cache").status == 201
    # The resolver and the fetcher: a member is read as a manifest only if it has the media type of one.
    found = name.client.head(name.manifest("cache"), accept)
    assert (found.status, found["Content-Type"], found["Docker-Content-Digest"]) == (200, media_type, digest_of(cache))
    assert name.client.get(name.manifest(digest_of(cache)), accept).body == cache
    for kind, blob in kinds:
        assert name.client.get(name.blob(digest_of(blob)), ("Accept", f"{kind}, */*")).body == blob


def _broken(**members: Any) -> bytes:
    return image(b"{}", **members)


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("", _broken()),
        ("text/plain", _broken()),
        ("application/json", _broken()),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", _broken()),
        (INDEX, _broken()),
        (DOCKER_IMAGE, _broken()),
        (IMAGE, b""),
        (IMAGE, b"null"),
        (IMAGE, b"[]"),
        (IMAGE, b'"x"'),
        (IMAGE, b"{"),
        (IMAGE, b"\xff\xfe{}"),
        (IMAGE, b"[" * 100_000),
        (IMAGE, encode({"schemaVersion": 2})),
        (IMAGE, b"\xef\xbb\xbf" + _broken()),
        (IMAGE, _broken().decode().encode("utf-16")),
        (IMAGE, _broken().decode().encode("utf-32-le")),
        (IMAGE, _broken(unknown=float("nan"))),
        (IMAGE, _broken(unknown=float("-inf"))),
        (IMAGE, _broken(schemaVersion=1)),
        (IMAGE, _broken(schemaVersion=2.0)),
        (IMAGE, _broken(schemaVersion="2")),
        (IMAGE, _broken(config=None)),
        (IMAGE, _broken(config=[])),
        (IMAGE, _broken(config={"mediaType": CONFIG, "size": 2})),
        (IMAGE, _broken(config={"mediaType": CONFIG, "size": -1, "digest": digest_of(b"{}")})),
        (IMAGE, _broken(config={"mediaType": CONFIG, "size": "2", "digest": digest_of(b"{}")})),
        (IMAGE, _broken(config={"mediaType": CONFIG, "size": 2, "digest": "sha256:abc"})),
        (IMAGE, _broken(layers={})),
        (IMAGE, _broken(layers=[None])),
        (IMAGE, _broken(subject="x")),
        (IMAGE, _broken(annotations=[])),
        (IMAGE, _broken(annotations={"k": 1})),
        (IMAGE, _broken(artifactType=1)),
        (IMAGE, _broken(manifests=[])),
        (INDEX, index(layers=[])),
        (INDEX, index(manifests=[1])),
        (INDEX, index(mediaType=IMAGE)),
    ],
)
def test_20_what_is_no_manifest_is_refused(name: Name, media_type: str, body: bytes) -> None:
    name.push(b"{}")
    answer = name.put(body, media_type, "1")
    assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")
    assert name.client.head(name.manifest("1")).status == 404


def padded(size_bytes: int) -> bytes:
    """Return a manifest of this size, padded by an annotation."""
    bare = len(artifact(annotations={"x": ""}))
    manifest = artifact(annotations={"x": "x" * (size_bytes - bare)})
    assert len(manifest) == size_bytes
    return manifest


@bodies
@references
@pytest.mark.parametrize("size_bytes", [4_000_000, FOUR_MIB])
def test_21_four_mebibytes_pass(name: Name, size_bytes: int, by: str, chunked: bool) -> None:
    name.push(b"{}")
    manifest = padded(size_bytes)
    target = name.manifest(target_of(manifest, by))
    body = [manifest[:9], manifest[9:]] if chunked else manifest
    assert name.client.ask("PUT", target, [("Content-Type", IMAGE)], body).status == 201
    got = name.client.get(target)
    assert (got.body, got["Content-Length"]) == (manifest, str(size_bytes))
    assert name.client.head(target)["Content-Length"] == str(size_bytes)


@bodies
@pytest.mark.parametrize("by", ["tag", "sha512"])
@pytest.mark.parametrize("size_bytes", [FOUR_MIB + 1, 10 * FOUR_MIB])
def test_21_more_is_413_and_the_client_that_sends_it_all_can_read_why(
    name: Name, size_bytes: int, by: str, chunked: bool
) -> None:
    name.push(b"{}")
    manifest = padded(size_bytes)
    target = name.manifest(target_of(manifest, by))
    body = [manifest[at : at + 65_536] for at in range(0, size_bytes, 65_536)] if chunked else manifest
    answer = name.client.ask("PUT", target, [("Content-Type", IMAGE)], body)
    assert (answer.status, answer.code) == (413, "SIZE_INVALID")
    assert str(FOUR_MIB) in answer.json["errors"][0]["message"]
    assert name.client.head(target).status == 404


@references
@algorithms
@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("kind", ["image", "index"])
def test_22_a_subject_is_acknowledged(name: Name, kind: str, exists: bool, by: str, algorithm: str) -> None:
    name.push(b"{}")
    subject = artifact(annotations={"subject": algorithm})
    if exists:
        assert name.put(subject, IMAGE, digest_of(subject, algorithm)).status == 201
    told = {"subject": descriptor(IMAGE, subject, algorithm)}
    manifest, media_type = (artifact("a/b", **told), IMAGE) if kind == "image" else (index(**told), INDEX)
    answer = name.put(manifest, media_type, target_of(manifest, by))
    assert (answer.status, answer["OCI-Subject"]) == (201, digest_of(subject, algorithm))
    again = name.put(manifest, media_type, target_of(manifest, by))
    assert (again.status, again["OCI-Subject"]) == (201, digest_of(subject, algorithm))


@references
@pytest.mark.parametrize("kind", ["image", "index"])
def test_22_without_a_subject_none_is_acknowledged(name: Name, kind: str, by: str) -> None:
    name.push(b"{}")
    manifest, media_type = (artifact("a/b"), IMAGE) if kind == "image" else (index(), INDEX)
    assert name.put(manifest, media_type, target_of(manifest, by))["OCI-Subject"] is None


@pytest.mark.two_workers
@algorithms
@pytest.mark.parametrize("count", [1, 2, 10, 100])
def test_23_tags_come_with_a_put_by_digest(name: Name, count: int, algorithm: str) -> None:
    name.push(b"{}")
    manifest = artifact("a/b", annotations={"count": str(count)})
    digest = digest_of(manifest, algorithm)
    tags = [f"v{number}.0-RC_{number}" for number in range(count)]
    answer = name.put(manifest, IMAGE, digest, "?" + "&".join(f"tag={tag}" for tag in tags))
    assert answer.status == 201
    told = [tag.strip() for line in answer.headers.get_all("OCI-Tag", []) for tag in line.split(",")]
    assert told == tags
    assert name.client.get(name.tags).json["tags"] == sorted(tags)
    for tag in tags:
        got = name.client.get(name.manifest(tag))
        assert (got.body, got["Docker-Content-Digest"]) == (manifest, digest)


@algorithms
def test_23_without_them_no_tag_is_told_of(name: Name, algorithm: str) -> None:
    name.push(b"{}")
    answer = name.put(artifact(), IMAGE, digest_of(artifact(), algorithm))
    assert answer["OCI-Tag"] is None
    assert name.client.get(name.tags).json["tags"] == []


@pytest.mark.two_workers
def test_23_a_tag_outside_the_grammar_refuses_the_whole(name: Name) -> None:
    name.push(b"{}")
    answer = name.put(artifact(), IMAGE, digest_of(artifact()), "?tag=good&tag=.bad")
    assert (answer.status, answer.code) == (400, "NAME_INVALID")
    assert name.client.head(name.manifest("good")).status == 404
    assert name.client.head(name.manifest(digest_of(artifact()))).status == 404


def test_23_more_tags_than_a_request_line_holds_are_refused_in_words(name: Name) -> None:
    name.push(b"{}")
    # Little more than the limit of 16 KiB. A server that has refused does not read on, so all must be sent by then.
    tags = "&".join(f"tag={number:0128d}" for number in range(150))
    answer = name.put(artifact(), IMAGE, digest_of(artifact()), f"?{tags}")
    assert answer.status in {414, 431}
    assert answer.code == "UNSUPPORTED"
