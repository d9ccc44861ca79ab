"""The layers of an image in the format of ``docker save`` or as an OCI image layout, in a folder or a tar.

Both formats are named files, one of which lists the others: ``manifest.json``, or ``index.json`` (OCI image-spec,
image-layout.md). If a tar has both, as from engines since 25, the layout is read. All calls block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from mirror.authoring.files.layer_sources import LayerSource
from mirror.authoring.files.safe_files import FileSpan
from mirror.authoring.files.saved_files import SavedFiles, open_saved
from mirror.oci import Descriptor, Digest, Manifest, media_types
from mirror.oci.errors import ConfigurationFault, DigestInvalid, ManifestInvalid
from mirror.oci.manifest import MAX_MANIFEST_BYTES, parse_json_object

_INDEX: Final = "index.json"
_DOCKER_INDEX: Final = "manifest.json"
#: An index may name other indexes.
_MOST_LEVELS: Final = 4
_MOST_LAYERS: Final = 1_000
_ZSTD: Final = "zstd"


def image_layers(image: Path, stack: ExitStack) -> list[LayerSource]:
    """Return the layers of the only image in a file or folder.

    Args:
        image: output of ``docker save`` or ``skopeo copy``.
        stack: closes the files. The layers can be read until then.

    Raises:
        ConfigurationFault: ``image`` cannot be read, or does not hold exactly one image.
        ManifestInvalid: the image is invalid.
    """
    files = open_saved(image, stack)
    if files.has(_INDEX):
        layers = _of_layout(files)
    elif files.has(_DOCKER_INDEX):
        layers = _of_docker(files)
    else:
        raise ConfigurationFault(
            f"{image} holds no image; fix: create the file with 'docker save', or 'skopeo copy … oci:DIR'"
        )
    if not layers or len(layers) > _MOST_LAYERS:
        raise ManifestInvalid(f"{image} holds an image with {len(layers)} layers: 1 to {_MOST_LAYERS} are allowed")
    return layers


def _of_layout(files: SavedFiles) -> list[LayerSource]:
    """Return the layers of the image in an OCI layout."""
    index = parse_json_object(files.span(_INDEX).read(MAX_MANIFEST_BYTES), _INDEX)
    manifest = _one_image(files, [Descriptor.from_json(item, _INDEX) for item in _list(index.get("manifests"))], 0)
    diff_ids: Sequence[Digest | None] = [None] * len(manifest.layers)
    if manifest.config is not None:
        diff_ids = _diff_ids(_blob(files, manifest.config).read(MAX_MANIFEST_BYTES), len(manifest.layers))
    for number, layer in enumerate(manifest.layers, 1):
        # Layers are unpacked with zlib, and engines do not read zstd layers of plugins either.
        if _ZSTD in layer.media_type:
            raise ConfigurationFault(
                f"layer {number} of {files.place} is compressed with zstd; fix: write the image again with "
                "'skopeo copy --dest-compress-format gzip'"
            )
    return [
        LayerSource(_blob(files, layer), layer.digest, diff_id)
        for layer, diff_id in zip(manifest.layers, diff_ids, strict=True)
    ]


def _one_image(files: SavedFiles, members: Sequence[Descriptor], level: int) -> Manifest:
    """Return the manifest of the only image. Attestations of the image are ignored."""
    # A layout may list one image under several tags.
    images = {member.digest: member for member in members if not _is_attestation(member)}
    if len(images) != 1 or level > _MOST_LEVELS:
        raise ConfigurationFault(
            f"{files.place} holds {len(images)} images; fix: copy one image into a file of its own with skopeo"
        )
    (member,) = images.values()
    content = _blob(files, member).read(MAX_MANIFEST_BYTES)
    try:
        manifest = Manifest.parse(content, member.media_type, member.digest)
    except DigestInvalid as error:
        raise ManifestInvalid(f"{files.place}: {error}") from error
    return manifest if manifest.config is not None else _one_image(files, manifest.manifests, level + 1)


# Builders list attestations of an image beside the image, with an unknown platform.
def _is_attestation(member: Descriptor) -> bool:
    return (member.platform or {}).get("os") == "unknown" or member.media_type not in media_types.MANIFESTS


def _blob(files: SavedFiles, descriptor: Descriptor) -> FileSpan:
    span = files.span(f"blobs/{descriptor.digest.algorithm}/{descriptor.digest.hex}")
    if span.size_bytes != descriptor.size_bytes:
        raise ManifestInvalid(f"{span.name} has {span.size_bytes} bytes instead of {descriptor.size_bytes}")
    return span


def _of_docker(files: SavedFiles) -> list[LayerSource]:
    """Return the layers of an image that ``docker save`` wrote."""
    content = files.span(_DOCKER_INDEX).read(MAX_MANIFEST_BYTES)
    # manifest.json is a list. The parser, with its limits, accepts objects only.
    images = parse_json_object(b'{"images":' + content + b"}", _DOCKER_INDEX)["images"]
    images = _list(images)
    if len(images) != 1:
        raise ConfigurationFault(f"{files.place} holds {len(images)} images; fix: save one image by itself")
    image: Mapping[str, Any] = images[0] if isinstance(images[0], dict) else {}
    names = _list(image.get("Layers"))
    config = image.get("Config")
    if not isinstance(config, str) or not all(isinstance(name, str) for name in names):
        raise ManifestInvalid(f"{files.place}: manifest.json names no configuration, or a layer without a name")
    diff_ids = _diff_ids(files.span(config).read(MAX_MANIFEST_BYTES), len(names))
    return [LayerSource(files.span(name), None, diff_id) for name, diff_id in zip(names, diff_ids, strict=True)]


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
