"""Images in the formats of ``docker save``, ``skopeo copy dir:`` and OCI image layouts, in a folder or a tar.

All are named files, one of which lists the others: ``manifest.json``, or ``index.json`` (OCI image-spec,
image-layout.md). If a tar has both, as from engines since 25, the layout is read. All calls block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mirror.authoring.files.layer_sources import LayerSource
from mirror.authoring.files.safe_files import FileSpan
from mirror.authoring.files.saved_files import SavedFiles
from mirror.oci import Descriptor, Digest, Manifest, media_types
from mirror.oci.errors import ConfigurationFault, DigestInvalid, ManifestInvalid, NameInvalid
from mirror.oci.manifest import MAX_MANIFEST_BYTES, parse_json_object
from mirror.oci.printable_text import printable_ascii
from mirror.plugin.rootfs.layer_limits import COMMAND_LIMITS
from mirror.plugin.rootfs.platform import Platform

_INDEX: Final = "index.json"
_DOCKER_INDEX: Final = "manifest.json"
#: Index of ``docker save`` up to 1.9, beside which there is no ``manifest.json``.
_OLD_INDEX: Final = "repositories"
_MARKS: Final = frozenset({_INDEX, _DOCKER_INDEX, _OLD_INDEX, "oci-layout"})
#: An index may name other indexes.
_MOST_LEVELS: Final = 4
_MOST_IMAGES: Final = 1_000
#: Each layer needs two open files. Engines build images of at most 127 layers.
_MOST_LAYERS: Final = COMMAND_LIMITS.layers
_ZSTD: Final = "zstd"
#: Types of configs whose layers are a root filesystem.
_CONFIGS: Final = frozenset(
    {media_types.OCI_IMAGE_CONFIG, media_types.DOCKER_IMAGE_CONFIG, media_types.DOCKER_PLUGIN_CONFIG}
)


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image in a file or folder.

    Attributes:
        names: names of the image, or its digest.
        platform: platform of the image; None if the image names none.
        layers: reads and returns the layers, the lowest first. Raises ConfigurationFault or ManifestInvalid for an
            image that cannot be used.
    """

    names: str
    platform: Platform | None
    layers: Callable[[], list[LayerSource]]


def is_saved_image(files: SavedFiles) -> bool:
    """Return True if files have the form of a saved image or layout."""
    return any(files.has(name) for name in _MARKS)


def images_in(files: SavedFiles) -> list[SavedImage]:
    """Return all images in a file or folder, without attestations.

    Args:
        files: output of ``docker save``, ``docker buildx build``, ``skopeo copy`` or similar programs.

    Raises:
        ConfigurationFault: the files cannot be read, or have a form that is not supported.
        ManifestInvalid: an index or manifest is invalid.
    """
    if files.has(_INDEX):
        index = parse_json_object(files.read(_INDEX, MAX_MANIFEST_BYTES), _INDEX)
        listed = [Descriptor.from_json(item, _INDEX) for item in _list(index.get("manifests"))]
        return list(_of_layout(files, listed))
    if files.has(_DOCKER_INDEX):
        content = files.read(_DOCKER_INDEX, MAX_MANIFEST_BYTES)
        if content.lstrip().startswith(b"{"):
            return [_of_folder(files, content)]
        return list(_of_docker(files, content))
    if files.has(_OLD_INDEX):
        raise ConfigurationFault(
            f"{files.place} is an image from 'docker save' before 1.10; fix: load and save it with a newer engine"
        )
    raise ConfigurationFault(f"{files.place} is an OCI image layout without {_INDEX}; fix: write it again")


def _of_layout(files: SavedFiles, listed: Sequence[Descriptor]) -> Iterator[SavedImage]:
    """Yield each image of a layout once."""
    for member, manifest in _manifests(files, listed, set(), 0):
        yield SavedImage(str(member.digest), _platform_in(files, member, manifest), _reader(files, manifest))


def _manifests(
    files: SavedFiles, members: Sequence[Descriptor], seen: set[Digest], level: int
) -> Iterator[tuple[Descriptor, Manifest]]:
    """Yield the manifests of all images below the members of an index, each once.

    A layout may list one image under several tags. Indexes that list each other many times would never end.

    Engines with containerd's image store save the index of an image for several platforms, but only the platforms that
    they have. A member without its manifest is therefore skipped, unless all are missing.
    """
    if level > _MOST_LEVELS:
        raise ManifestInvalid(f"{files.place} has indexes in more than {_MOST_LEVELS} levels")
    images = [member for member in members if not _is_attestation(member)]
    held = [member for member in images if files.has(_name(member.digest))]
    for member in held or images[:1]:
        if member.digest in seen:
            continue
        seen.add(member.digest)
        if len(seen) > _MOST_IMAGES:
            raise ConfigurationFault(f"{files.place} holds more than {_MOST_IMAGES} images")
        content = _document(files, member)
        try:
            manifest = Manifest.parse(content, member.media_type, member.digest)
        except DigestInvalid as error:
            raise ManifestInvalid(f"{files.place}: {error}") from error
        if manifest.config is None:
            yield from _manifests(files, manifest.manifests, seen, level + 1)
        else:
            yield member, manifest


def _reader(files: SavedFiles, manifest: Manifest) -> Callable[[], list[LayerSource]]:
    """Return a function that reads the layers of a manifest."""
    return lambda: _layers(files, manifest)


def _layers(files: SavedFiles, manifest: Manifest) -> list[LayerSource]:
    config = manifest.config
    if config is None or config.media_type not in _CONFIGS:
        kind = "an index" if config is None else printable_ascii(config.media_type)
        raise ConfigurationFault(f"{files.place} holds an artifact of type {kind}, not an image")
    _require_layers(files, len(manifest.layers))
    diff_ids = _diff_ids(_document(files, config), len(manifest.layers))
    for number, layer in enumerate(manifest.layers, 1):
        # Layers are unpacked with zlib, and engines do not read zstd layers of plugins either.
        if _ZSTD in layer.media_type:
            raise ConfigurationFault(
                f"layer {number} of {files.place} is compressed with zstd; fix: write the image again with "
                "'skopeo copy --dest-compress-format gzip', or with 'compression=gzip' for buildx"
            )
    return [
        LayerSource(_blob(files, layer), layer.digest, diff_id)
        for layer, diff_id in zip(manifest.layers, diff_ids, strict=True)
    ]


def _platform_in(files: SavedFiles, member: Descriptor, manifest: Manifest) -> Platform | None:
    """Return the platform of an image from its index, or from its config."""
    if (found := _platform(member.platform)) is not None or manifest.config is None:
        return found
    try:
        return _platform(parse_json_object(_document(files, manifest.config), "the image's configuration"))
    except (ManifestInvalid, ConfigurationFault):
        return None  # the config may be missing, and that of an artifact may be anything


def _platform(value: Mapping[str, Any] | None) -> Platform | None:
    """Return the platform of an object with ``os``, ``architecture`` and ``variant``; None if it names none."""
    parts = [] if value is None else [value.get("os"), value.get("architecture"), value.get("variant")]
    try:
        return Platform.parse("/".join(part for part in parts if isinstance(part, str) and part))
    except NameInvalid:
        return None


# Builders list attestations of an image beside the image, with an unknown platform.
def _is_attestation(member: Descriptor) -> bool:
    return (member.platform or {}).get("os") == "unknown" or member.media_type not in media_types.MANIFESTS


def _name(digest: Digest) -> str:
    """Return the name of a blob in a layout."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _name_of(files: SavedFiles, descriptor: Descriptor) -> str:
    # 'skopeo copy dir:' writes blobs without folders.
    flat = descriptor.digest.hex
    return flat if files.has(flat) else _name(descriptor.digest)


def _blob(files: SavedFiles, descriptor: Descriptor) -> FileSpan:
    span = files.span(_name_of(files, descriptor))
    if span.size_bytes != descriptor.size_bytes:
        raise ManifestInvalid(f"{span.name} has {span.size_bytes} bytes instead of {descriptor.size_bytes}")
    return span


def _document(files: SavedFiles, descriptor: Descriptor) -> bytes:
    name = _name_of(files, descriptor)
    content = files.read(name, MAX_MANIFEST_BYTES)
    if len(content) != descriptor.size_bytes:
        raise ManifestInvalid(f"{files.place}: {name} has {len(content)} bytes instead of {descriptor.size_bytes}")
    return content


def _of_folder(files: SavedFiles, content: bytes) -> SavedImage:
    """Return the image that ``skopeo copy dir:`` wrote."""
    said = parse_json_object(content, _DOCKER_INDEX).get("mediaType")
    media_type = said if isinstance(said, str) else media_types.OCI_MANIFEST
    if media_type not in media_types.MANIFESTS:
        raise ConfigurationFault(f"{files.place} has a {_DOCKER_INDEX} that is not of an image")
    manifest = Manifest.parse(content, media_type)
    if manifest.config is None:
        raise ConfigurationFault(
            f"{files.place} holds an index of images; fix: copy it with 'skopeo copy --all … oci:DIR'"
        )
    return SavedImage(str(manifest.digest), None, _reader(files, manifest))


def _of_docker(files: SavedFiles, content: bytes) -> Iterator[SavedImage]:
    """Yield the images that ``docker save`` wrote."""
    # manifest.json is a list. The parser, with its limits, accepts objects only.
    images = _list(parse_json_object(b'{"images":' + content + b"}", _DOCKER_INDEX)["images"])
    if len(images) > _MOST_IMAGES:
        raise ConfigurationFault(f"{files.place} holds more than {_MOST_IMAGES} images")
    for image in images:
        entry: Mapping[str, Any] = image if isinstance(image, dict) else {}
        layers = _list(entry.get("Layers"))
        config = entry.get("Config")
        if not isinstance(config, str) or not all(isinstance(name, str) for name in layers):
            raise ManifestInvalid(f"{files.place}: manifest.json names no configuration, or a layer without a name")
        document = files.read(config, MAX_MANIFEST_BYTES)
        names = ", ".join(filter(None, map(printable_ascii, filter(_is_text, _list(entry.get("RepoTags"))))))
        platform = _platform(parse_json_object(document, "the image's configuration"))
        yield SavedImage(names or printable_ascii(config), platform, _docker_reader(files, document, layers))


def _docker_reader(files: SavedFiles, config: bytes, names: Sequence[str]) -> Callable[[], list[LayerSource]]:
    """Return a function that reads the layers of an image that ``docker save`` wrote."""

    def read() -> list[LayerSource]:
        _require_layers(files, len(names))
        diff_ids = _diff_ids(config, len(names))
        return [LayerSource(files.span(name), None, diff_id) for name, diff_id in zip(names, diff_ids, strict=True)]

    return read


def _require_layers(files: SavedFiles, count: int) -> None:
    if not 1 <= count <= _MOST_LAYERS:
        raise ManifestInvalid(f"{files.place} holds an image with {count} layers: 1 to {_MOST_LAYERS} are allowed")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _diff_ids(config: bytes, count: int) -> Sequence[Digest | None]:
    """Return the digests of the uncompressed layers. They are None if ``config`` is not the config of an image."""
    rootfs = parse_json_object(config, "the image's configuration").get("rootfs")
    values = _list(rootfs.get("diff_ids")) if isinstance(rootfs, dict) else []
    if not values:
        return [None] * count
    if len(values) != count or not all(isinstance(value, str) for value in values):
        raise ManifestInvalid(f"the image has {count} layers, but its configuration names {len(values)}")
    try:
        return [Digest.parse(value) for value in values]
    except DigestInvalid as error:
        raise ManifestInvalid(f"the configuration of the image has an invalid digest: {error}") from error


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
