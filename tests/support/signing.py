"""Signatures for tests, in the formats of cosign."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any, Final

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.media_types import OCI_MANIFEST
from mirror.registry.port import Registry
from mirror.signing.claim import SIGN_PREDICATE, STATEMENT_TYPE, simple_signing_payload
from mirror.signing.dsse import pre_authentication_encoding
from mirror.signing.private_keys import PrivateKey
from mirror.signing.signature_formats import SIGNATURE_ANNOTATION, SIMPLE_SIGNING
from mirror.wire.referrers_fallback import fallback_tag
from tests.support.builders import push_blob

BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIGNED_AT: Final = datetime(2026, 11, 1, tzinfo=UTC)
KEY, OTHER_KEY, THIRD_KEY = (PrivateKey.new(f"{name}.pub") for name in ("contiv", "other", "third"))


def payload(digest: Digest, name: str = "", expires_at: datetime | None = None) -> bytes:
    """Return a payload of simple signing."""
    return simple_signing_payload(name, digest, "tests", SIGNED_AT, expires_at)


def statement(digest: Digest, name: str = "", **changes: Any) -> dict[str, Any]:
    """Return an in-toto statement of ``cosign sign``. ``changes`` replaces members."""
    subject = {"name": name, "digest": {digest.algorithm: digest.hex}}
    body = {"_type": "https://in-toto.io/Statement/v1", "predicateType": SIGN_PREDICATE, "subject": [subject]}
    return {**body, "predicate": {}, **changes}


def bundle(document: dict[str, Any], key: PrivateKey = KEY, **changes: Any) -> bytes:
    """Return a Sigstore bundle with a statement. ``changes`` replaces members of the envelope."""
    content = json.dumps(document).encode()
    signature = key.sign(pre_authentication_encoding(STATEMENT_TYPE, content))
    envelope = {
        "payload": base64.b64encode(content).decode(),
        "payloadType": STATEMENT_TYPE,
        "signatures": [{"sig": base64.b64encode(signature).decode()}],
        **changes,
    }
    return json.dumps({"mediaType": BUNDLE, "verificationMaterial": {}, "dsseEnvelope": envelope}).encode()


def layer(content: bytes, media_type: str, annotations: dict[str, str] | None = None) -> Descriptor:
    """Return the descriptor of a layer with this content."""
    return Descriptor(media_type, Digest.of(content), len(content), annotations=annotations or {})


def simple_layer(content: bytes, key: PrivateKey = KEY) -> Descriptor:
    """Return the descriptor of a payload of simple signing with its signature."""
    return layer(content, SIMPLE_SIGNING, {SIGNATURE_ANNOTATION: base64.b64encode(key.sign(content)).decode()})


async def attach(
    registry: Registry,
    subject: Manifest,
    layers: dict[bytes, Descriptor],
    artifact_type: str | None,
    repository: Repository,
) -> Manifest:
    """Store a manifest with signatures: a referrer, or with the tag of cosign if there is no artifact type."""
    config = layer(b"{}", "application/vnd.oci.empty.v1+json")
    for content in (b"{}", *layers):
        await push_blob(registry, content, repository)
    body: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.to_json(),
        "layers": [each.to_json() for each in layers.values()],
    }
    if artifact_type is not None:
        body |= {"artifactType": artifact_type, "subject": subject.descriptor.to_json()}
    manifest = Manifest.parse(json.dumps(body).encode(), OCI_MANIFEST)
    tags = [Tag(f"{fallback_tag(subject.digest)}.sig")] if artifact_type is None else []
    await registry.put_manifest(repository, manifest, tags)
    return manifest
