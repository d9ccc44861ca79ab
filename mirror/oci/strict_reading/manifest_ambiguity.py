"""Detection of manifests that an engine may read differently from this package.

Engines since 20.10 decode a manifest into Go structures and follow every descriptor among ``config`` and ``layers``.
They take each blob with the media type of a plugin config for the config, and the blob fetched last wins (moby:
plugin/fetch_linux.go, storeFetchMetadata; containerd: images.Children). So a manifest must be judged by everything an
engine could take from it, and not only by a literal reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mirror.oci import media_types
from mirror.oci.printable_text import quoted
from mirror.oci.strict_reading.strict_json import Document, misspelt

_MANIFEST: Final = frozenset(
    {
        "schemaVersion",
        "mediaType",
        "artifactType",
        "config",
        "layers",
        "manifests",
        "fsLayers",
        "subject",
        "annotations",
    }
)
_DESCRIPTOR: Final = frozenset(
    {"mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"}
)
_PLATFORM: Final = frozenset({"architecture", "os", "os.version", "os.features", "variant", "features"})
# Engines follow a manifest among the layers as well, and so may take another config from there.
_FOLLOWED: Final = frozenset(media_types.MANIFESTS)


def ambiguity_of(document: Document) -> str | None:
    """Return why an engine may read a manifest differently, as a phrase that follows "the manifest".

    Members that engines do not know, and annotations, may have names that differ only in case. In a plugin they may
    not, because no builder writes such names.

    Returns:
        The phrase; None if every reader reads the same.
    """
    # Names in these phrases are cut to 60 characters, because a name may be as long as the manifest.
    if document.twice is not None:
        return f"has {quoted(document.twice[:60])} more than once"
    body = document.body
    for place, value, known in _places(body):
        if (found := misspelt(value, known)) is not None:
            where = f" in {place}" if place else ""
            return f"has {quoted(found[0][:60])}{where}, which engines read as {found[1]!r}"
    if (why := _followed(body)) is not None:
        return why
    # Readers of images and artifacts do not fold case, so only a plugin is refused for names that differ in case.
    if document.folded is not None and _type(body.get("config")) == media_types.DOCKER_PLUGIN_CONFIG:
        return f"has {quoted(document.folded[:60])} more than once (in upper or lower case)"
    return None


def _followed(body: dict[str, Any]) -> str | None:
    """Return a phrase for a descriptor that only engines follow, besides the config and layers that all readers see."""
    named = [(place, _type(value)) for place, value in _children(body)]
    for place, kind in named:
        if kind == media_types.DOCKER_PLUGIN_CONFIG and place != "config":
            return f"names a plugin's config at {place}, which engines use as the config"
        if kind in _FOLLOWED and not place.startswith("manifests"):
            return f"names a manifest at {place}, and engines use the config and layers of that manifest"
    return None


def _places(body: dict[str, Any]) -> Iterator[tuple[str, object, frozenset[str]]]:
    """Yield the objects whose members engines look up by name: the place, the object, and the known names."""
    yield "", body, _MANIFEST
    for place, value in [*_children(body), ("subject", body.get("subject"))]:
        yield place, value, _DESCRIPTOR
        if isinstance(value, dict):
            yield f"{place}.platform", value.get("platform"), _PLATFORM


def _children(body: dict[str, Any]) -> Iterator[tuple[str, object]]:
    yield "config", body.get("config")
    for member in ("layers", "manifests"):
        listed = body.get(member)
        for number, value in enumerate(listed if isinstance(listed, list) else ()):
            yield f"{member}[{number}]", value


def _type(descriptor: object) -> object:
    return descriptor.get("mediaType") if isinstance(descriptor, dict) else None
