"""Manifest of a signature that this program makes: a referrer with a payload of simple signing, as cosign reads it."""

from __future__ import annotations

import base64
import json
from typing import Final

from mirror.oci import Descriptor, Digest, Manifest
from mirror.oci.media_types import OCI_MANIFEST
from mirror.signing.signature_formats import COSIGN_ARTIFACT, SIGNATURE_ANNOTATION, SIMPLE_SIGNING

#: The config of every such manifest. Only its type says something.
CONFIG: Final = b"{}"


def signature_manifest(subject: Descriptor, payload: bytes, signature: bytes) -> Manifest:
    """Return the manifest that refers to a subject. Its repository must hold :data:`CONFIG` and the payload.

    Args:
        subject: the signed manifest.
        payload: from :func:`mirror.signing.claim.simple_signing_payload`.
        signature: signature of the payload.
    """
    layer = Descriptor(
        SIMPLE_SIGNING,
        Digest.of(payload),
        len(payload),
        annotations={SIGNATURE_ANNOTATION: base64.b64encode(signature).decode()},
    )
    body = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor(COSIGN_ARTIFACT, Digest.of(CONFIG), len(CONFIG)).to_json(),
        "layers": [layer.to_json()],
        "subject": Descriptor(subject.media_type, subject.digest, subject.size_bytes).to_json(),
    }
    return Manifest.parse(json.dumps(body, separators=(",", ":")).encode(), OCI_MANIFEST)
