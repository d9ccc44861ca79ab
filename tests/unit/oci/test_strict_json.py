"""The mirror reads a manifest as an engine does, or refuses the manifest."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirror.oci import Digest, Manifest, media_types
from mirror.oci.errors import ManifestInvalid
from tests.unit.oci.go_decoder import GoError, decoded, seen_by_an_engine

PLUGIN, LAYER = media_types.DOCKER_PLUGIN_CONFIG, media_types.DOCKER_LAYER_GZIP
DIGESTS = [str(Digest.of(name)) for name in (b"a", b"b", b"c", b"d")]


class Raw(list[tuple[str, Any]]):
    """A JSON object with its members in order and with repeated names."""


def written(value: Any) -> str:
    """Return the JSON text of a value that may contain :class:`Raw` objects."""
    if isinstance(value, Raw):
        return "{" + ", ".join(f"{json.dumps(name)}: {written(member)}" for name, member in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value)


def spellings(name: str) -> st.SearchStrategy[str]:
    """Generate a member name and the other spellings that Go accepts for it."""
    others = {name.upper(), name.capitalize(), name.lower(), name.replace("s", "\u017f"), name.replace("k", "\u212a")}
    return st.just(name) | st.sampled_from(sorted(others))


def members(known: dict[str, st.SearchStrategy[Any]], required: tuple[str, ...]) -> st.SearchStrategy[Raw]:
    """Generate objects with the required members and optional ones, some repeated, in any spelling and order."""
    once = [known[name].map(lambda value, name=name: (name, value)) for name in required]
    more = st.lists(
        st.sampled_from(sorted(known)).flatmap(lambda name: st.tuples(spellings(name), known[name])), max_size=2
    )
    return st.tuples(st.tuples(*once), more).flatmap(lambda found: st.permutations([*found[0], *found[1]]).map(Raw))


TYPES = st.sampled_from([PLUGIN, LAYER, LAYER, media_types.OCI_IMAGE_CONFIG, media_types.OCI_MANIFEST])
ANNOTATIONS = st.lists(st.tuples(st.sampled_from(["a", "A", "s", "\u017f"]), st.text(max_size=2)), max_size=2).map(Raw)
UNKNOWN = st.none() | st.integers() | st.lists(st.lists(st.none(), max_size=2), max_size=2) | ANNOTATIONS
DESCRIPTORS = members(
    {
        "mediaType": TYPES,
        "digest": st.sampled_from(DIGESTS),
        "size": st.integers(0, 9),
        "urls": st.none() | st.lists(st.just("x:"), max_size=1),
        "annotations": st.none() | ANNOTATIONS,
        "platform": st.none() | ANNOTATIONS,
        "extra": UNKNOWN,
    },
    ("mediaType", "digest", "size"),
)
MANIFESTS = members(
    {
        "schemaVersion": st.just(2),
        "mediaType": st.just(media_types.DOCKER_MANIFEST),
        "config": DESCRIPTORS,
        "layers": st.none() | st.lists(DESCRIPTORS, max_size=3),
        "annotations": st.none() | ANNOTATIONS,
        "subject": st.none() | DESCRIPTORS,
        "extra": UNKNOWN,
    },
    ("schemaVersion", "config", "layers"),
)


def descriptor(kind: str = LAYER, digest: str = DIGESTS[1], *more: tuple[str, Any]) -> Raw:
    return Raw([("mediaType", kind), ("digest", digest), ("size", 1), *more])


def manifest(*more: tuple[str, Any], config: Raw | None = None, layers: list[Raw] | None = None) -> Raw:
    head = [("schemaVersion", 2), ("config", config or descriptor(PLUGIN, DIGESTS[0]))]
    head.append(("layers", [descriptor()] if layers is None else layers))
    return Raw([*head, *more])


@given(MANIFESTS)
@example(manifest())
@example(manifest(("Layers", [])))
@example(manifest(layers=[descriptor(PLUGIN)]))
@example(manifest(layers=[descriptor(LAYER, DIGESTS[1], ("urls", ["x:"]), ("MediaType", PLUGIN))]))
def test_what_is_judged_is_what_an_engine_installs(document: Raw) -> None:
    content = written(document).encode()
    try:
        ours = Manifest.parse(content, media_types.DOCKER_MANIFEST)
    except ManifestInvalid:
        return
    configs, fetched = seen_by_an_engine(content)  # Go must read the same content
    assert ours.config is not None
    assert configs == ([str(ours.config.digest)] if ours.is_plugin else [])
    assert fetched == [str(each.digest) for each in (ours.config, *ours.layers)]
    said = decoded(content)
    theirs = [said["config"], *(said["layers"] or [])]
    for mine, go in zip((ours.config, *ours.layers), theirs, strict=True):
        assert (mine.media_type, mine.size_bytes, mine.urls) == (
            go["mediaType"],
            go["size"],
            tuple(go.get("urls") or ()),
        )


@given(MANIFESTS)
def test_what_an_engine_installs_as_a_plugin_is_told_to_be_one_also_where_it_is_held_already(document: Raw) -> None:
    content = written(document).encode()
    try:
        ours = Manifest.parse_stored(content, media_types.DOCKER_MANIFEST)
        configs, _ = seen_by_an_engine(content)
    except (ManifestInvalid, GoError):
        return
    assert ours.may_be_plugin or not configs
    if configs and ours.ambiguity is None:
        assert ours.config is not None
        assert configs == [str(ours.config.digest)]


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (manifest(layers=[descriptor(), descriptor(PLUGIN)]), r"names a plugin's config at layers\[1\]"),
        (
            manifest(config=descriptor(media_types.OCI_IMAGE_CONFIG), layers=[descriptor(PLUGIN)]),
            r"names a plugin's config at layers\[0\]",
        ),
        (
            manifest(layers=[descriptor(LAYER, DIGESTS[1], ("Digest", DIGESTS[2]))]),
            r"has 'Digest' in layers\[0\], which engines read as 'digest'",
        ),
        (manifest(layers=[descriptor(LAYER, DIGESTS[1], ("digest", DIGESTS[1]))]), r"has 'digest' more than once"),
        (
            manifest(layers=[descriptor(LAYER, DIGESTS[1], ("\u017fize", 3))]),
            r"ize' in layers\[0\], which engines read as 'size'",
        ),
        (manifest(("layerS", [])), "which engines read as 'layers'"),
        (
            Raw([("schemaVersion", 2), ("config", descriptor(PLUGIN)), ("Layers", [])]),
            "'Layers', which engines read as",
        ),
        (manifest(("layer\u017f", None)), "which engines read as 'layers'"),
        (manifest(("\u017fub\u017fect", None)), None),
        (manifest(("\u017fubject", None)), "which engines read as 'subject'"),
        (manifest(config=Raw([*descriptor(PLUGIN), ("\u212aind", 1)])), None),
        (
            manifest(config=descriptor(PLUGIN, DIGESTS[0], ("platform", Raw([("OS", "linux")])))),
            "'OS' in config.platform, which engines",
        ),
        (manifest(layers=[descriptor(media_types.OCI_MANIFEST)]), r"names a manifest at layers\[0\]"),
        (manifest(layers=[descriptor(media_types.DOCKER_MANIFEST_LIST)]), r"names a manifest at layers\[0\]"),
        (manifest(config=descriptor(media_types.DOCKER_MANIFEST)), "names a manifest at config"),
        (manifest(("annotations", Raw([("a", "1"), ("A", "2")]))), "has 'a' more than once"),
        (manifest(("extra", [Raw([("x", Raw([("a", 1), ("A", 2)]))])])), "has 'a' more than once"),
        (manifest(("extra", Raw([("a", 1), ("a", 1)]))), "has 'a' more than once"),
        (
            manifest(("annotations", Raw([("a", "1"), ("A", "2")])), config=descriptor(media_types.OCI_IMAGE_CONFIG)),
            None,
        ),
        (manifest(("annotations", Raw([("a", "1"), ("a", "2")])), config=descriptor(LAYER)), "has 'a' more than once"),
        (manifest(("x" * 80 + "\x1b[2J", 1), ("x" * 80 + "\x1b[2J", 1)), "has '" + "x" * 60 + "' more than once"),
    ],
)
def test_what_readers_read_differently_is_refused_with_the_reason(document: Raw, why: str | None) -> None:
    content = written(document).encode()
    if why is None:
        assert Manifest.parse(content, media_types.DOCKER_MANIFEST).ambiguity is None
        return
    with pytest.raises(ManifestInvalid, match=why):
        Manifest.parse(content, media_types.DOCKER_MANIFEST)
    held = Manifest.parse_stored(content, media_types.DOCKER_MANIFEST)
    assert held.may_be_plugin
    assert held.content == content


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (descriptor(PLUGIN), r"names a plugin's config at manifests\[0\]"),
        (
            descriptor(media_types.OCI_MANIFEST, DIGESTS[0], ("MediaType", PLUGIN)),
            r"'MediaType' in manifests\[0\], which engines",
        ),
        (descriptor(media_types.OCI_MANIFEST), None),
        (descriptor(LAYER), None),
    ],
)
def test_members_of_an_index(member: Raw, why: str | None) -> None:
    content = written(Raw([("schemaVersion", 2), ("manifests", [member])])).encode()
    if why is None:
        assert not Manifest.parse(content, media_types.OCI_INDEX).may_be_plugin
        return
    with pytest.raises(ManifestInvalid, match=why):
        Manifest.parse(content, media_types.OCI_INDEX)
