"""Manifests that an engine reads in another way than they look.

Engines since 20.10 decode a manifest into Go structures, follow every descriptor among ``config`` and ``layers``, and
take whichever has the type of a plugin's config for the config; the one fetched last wins (moby: plugin/fetch_linux.go,
storeFetchMetadata; containerd: images.Children). So a manifest is judged by what it can mean to them, not only by what
it says to a reader that keeps to the letter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mirror.oci import media_types
from mirror.oci.printable_text import quoted
from mirror.oci.strict_json import Document, misspelt

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
_FOLLOWED: Final = frozenset(media_types.MANIFESTS)


def ambiguity_of(document: Document) -> str | None:
    """Why an engine may read something else in a manifest, in words that follow "the manifest"; None: it does not.

    Annotations and members that engines do not know may differ in case alone, except in what an engine installs as a
    plugin: no builder writes that.
    """
    if document.twice is not None:
        return f"has {quoted(document.twice[:60])} more than once"
    body = document.body
    for place, value, known in _places(body):
        if (found := misspelt(value, known)) is not None:
            where = f" in {place}" if place else ""
            return f"has {quoted(found[0][:60])}{where}, which engines read as {found[1]!r}"
    if (why := _followed(body)) is not None:
        return why
    if document.folded is not None and _type(body.get("config")) == media_types.DOCKER_PLUGIN_CONFIG:
        return f"has {quoted(document.folded[:60])} more than once, whatever its case"
    return None


def _followed(body: dict[str, Any]) -> str | None:
    """What an engine fetches besides the config and layers that a manifest has for everybody else."""
    named = [(place, _type(value)) for place, value in _children(body)]
    for place, kind in named:
        if kind == media_types.DOCKER_PLUGIN_CONFIG and place != "config":
            return f"names a plugin's config at {place}, which engines take for the config"
        if kind in _FOLLOWED and not place.startswith("manifests"):
            return f"names a manifest at {place}, whose config and layers engines take for its own"
    return None


def _places(body: dict[str, Any]) -> Iterator[tuple[str, object, frozenset[str]]]:
    """Every object whose members engines look for by name: where it is, the object, and the names."""
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
