"""An image for several platforms: an index of images and of proofs (attestations) about the images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mirror.oci import Descriptor, Manifest
from mirror.oci.media_types import OCI_IMAGE_CONFIG, OCI_LAYER_GZIP
from tests.support.builders import described, index, manifest_of

AMD64, ARM64, S390X = PLATFORMS = ("linux/amd64", "linux/arm64", "linux/s390x")


def image(name: str, **body: Any) -> Manifest:
    """Return an image whose config and layer are made of a name."""
    config, layer = f"config {name}".encode(), f"layer {name}".encode()
    layers = [described(OCI_LAYER_GZIP, layer).to_json()]
    return manifest_of({"config": described(OCI_IMAGE_CONFIG, config).to_json(), "layers": layers, **body})


def member(manifest: Manifest, platform: str | None = None, **annotations: str) -> Descriptor:
    """Return the descriptor of a member of an index."""
    names = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False)) if platform else None
    return replace(manifest.descriptor, platform=names, annotations=annotations)


IMAGES = {platform: image(platform) for platform in PLATFORMS}
PROOFS = {platform: image(f"proof of {platform}") for platform in PLATFORMS}
INDEX = index(
    *(member(IMAGES[platform], platform) for platform in PLATFORMS),
    *(
        member(proof, "unknown/unknown", **{"vnd.docker.reference.digest": str(IMAGES[platform].digest)})
        for platform, proof in PROOFS.items()
    ),
)
NAMES = [prefix + platform for platform in PLATFORMS for prefix in ("", "proof of ")]
BLOBS = [f"{kind} {name}".encode() for name in NAMES for kind in ("config", "layer")]
