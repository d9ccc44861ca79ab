"""Tests of the formats in which signatures are stored."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Descriptor, Digest
from mirror.oci.media_types import DOCKER_MANIFEST
from mirror.signing.claim import SignatureUnreadable
from mirror.signing.signature_formats import (
    SIGNATURE_ANNOTATION,
    is_bundle,
    is_notation,
    is_signature_artifact,
    of_bundle,
    of_simple_signing,
)
from mirror.signing.signature_manifest import CONFIG, signature_manifest
from tests.support.signing import BUNDLE, KEY, bundle, payload, simple_layer, statement

DIGEST = Digest.of(b"content")


@pytest.mark.parametrize(
    ("artifact_type", "is_one", "of_bundle", "of_notation"),
    [
        ("application/vnd.dev.cosign.artifact.sig.v1+json", True, False, False),
        (BUNDLE, True, True, False),
        ("application/vnd.dev.sigstore.bundle+json;version=0.1", True, True, False),
        ("application/vnd.cncf.notary.signature", True, False, True),
        ("application/vnd.dev.cosign.artifact.sbom.v1+json", False, False, False),
        ("application/vnd.dev.sigstore.bundles", False, False, False),
        ("", False, False, False),
        (None, False, False, False),
    ],
)
def test_types(artifact_type: str | None, is_one: bool, of_bundle: bool, of_notation: bool) -> None:
    assert is_signature_artifact(artifact_type) is is_one
    assert is_bundle(artifact_type or "") is of_bundle
    assert is_notation(artifact_type) is of_notation


def test_simple_signing() -> None:
    content = payload(DIGEST)
    stored = of_simple_signing(content, simple_layer(content).annotations)
    assert KEY.public.verifies(stored.value, stored.signed)
    assert stored.read(stored.payload).digests == {DIGEST}


@pytest.mark.parametrize("text", [None, 7, "", "not base64!", "AA", "A" * 4100])
def test_a_payload_without_a_readable_signature(text: object) -> None:
    if text == "":
        assert of_simple_signing(b"{}", {SIGNATURE_ANNOTATION: ""}).value == b""
        return
    with pytest.raises(SignatureUnreadable):
        of_simple_signing(b"{}", {SIGNATURE_ANNOTATION: text})


def test_a_bundle() -> None:
    (stored,) = of_bundle(bundle(statement(DIGEST, "contiv/v2plugin")))
    assert KEY.public.verifies(stored.value, stored.signed)
    assert stored.read(stored.payload).name == "contiv/v2plugin"


def test_the_type_of_a_statement_is_signed_too() -> None:
    (stored,) = of_bundle(bundle(statement(DIGEST)))
    assert not KEY.public.verifies(stored.value, stored.payload)


@pytest.mark.parametrize(
    "changes",
    [
        {"payloadType": "application/json"},
        {"payload": 7},
        {"payload": "%%"},
        {"signatures": {}},
        {"signatures": [7]},
        {"signatures": [{"sig": None}]},
        {"signatures": [{"sig": "AAAA"}] * 9},
    ],
)
def test_what_is_no_envelope(changes: dict[str, Any]) -> None:
    with pytest.raises(SignatureUnreadable):
        of_bundle(bundle(statement(DIGEST), **changes))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"mediaType":"x"}',
        bundle(statement(DIGEST)).replace(b"sigstore.bundle", b"other"),
        bundle(statement(DIGEST))[:-1] + b',"DsseEnvelope":{}}',
        json.dumps({"mediaType": BUNDLE, "messageSignature": {}}).encode(),
    ],
)
def test_what_is_no_bundle(content: bytes) -> None:
    with pytest.raises(SignatureUnreadable):
        of_bundle(content)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_bundle_or_unreadable(content: bytes) -> None:
    with pytest.raises(SignatureUnreadable):
        of_bundle(content)


def test_our_manifest_is_a_referrer_with_one_payload() -> None:
    content = payload(DIGEST)
    subject = Descriptor(DOCKER_MANIFEST, DIGEST, 7, annotations={"not": "copied"})
    made = signature_manifest(subject, content, KEY.sign(content))
    assert made.subject == Descriptor(DOCKER_MANIFEST, DIGEST, 7)
    assert made.config is not None
    assert made.config.digest == Digest.of(CONFIG)
    assert is_signature_artifact(made.config.media_type)  # the artifact type of a referrer that states none
    (layer,) = made.layers
    assert layer.digest == Digest.of(content)
    assert KEY.public.verifies(base64.b64decode(layer.annotations[SIGNATURE_ANNOTATION]), content)
