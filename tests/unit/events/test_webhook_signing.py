"""Signatures of webhooks."""

from __future__ import annotations

import base64
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from mirror.events.webhook_signing import parse_secrets, webhook_headers
from mirror.oci.errors import ConfigurationFault

BODY = b'{"event_type":"ping","data":{"success":true}}'
#: The example of the specification of Standard Webhooks.
EXAMPLE = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def secret(content: bytes, prefix: str = "whsec_") -> str:
    return f"{prefix}{base64.b64encode(content).decode()}"


def test_hmac_is_over_id_time_and_body() -> None:
    headers = webhook_headers("msg_1", 1674087231, BODY, parse_secrets(EXAMPLE.encode(), "file"))
    key = base64.b64decode(EXAMPLE.removeprefix("whsec_"))
    wanted = base64.b64encode(hmac.digest(key, b"msg_1.1674087231." + BODY, "sha256")).decode()
    assert headers == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1674087231",
        "webhook-signature": f"v1,{wanted}",
    }


def test_the_published_example() -> None:
    secrets = parse_secrets(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "file")
    headers = webhook_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', secrets)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("has_public", [False, True])
def test_a_private_key_signs_what_its_public_key_verifies(has_public: bool) -> None:
    key = Ed25519PrivateKey.generate()
    seed = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    public = key.public_key()
    content = seed + (public.public_bytes_raw() if has_public else b"")
    headers = webhook_headers("a", 7, BODY, parse_secrets(secret(content, "whsk_").encode(), "file"))
    scheme, _, signature = headers["webhook-signature"].partition(",")
    assert scheme == "v1a"
    public.verify(base64.b64decode(signature), b"a.7." + BODY)


def test_both_secrets_of_a_rotation_sign() -> None:
    both = f"{secret(b'1' * 24)}\n{secret(b'2' * 64)}\n"
    first, second = webhook_headers("a", 7, BODY, parse_secrets(both.encode(), "file"))["webhook-signature"].split(" ")
    assert first != second
    assert {first[:3], second[:3]} == {"v1,"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "file must have 1 to 4 secrets"),
        ("\n".join([EXAMPLE] * 5), "file must have 1 to 4 secrets"),
        ("hunter2", "file, secret 1 is no secret of Standard Webhooks"),
        (f"{EXAMPLE}\nwhsec_???", "file, secret 2 is not base64"),
        (secret(b"1" * 23), "has 23 bytes, and must have 24 to 64"),
        (secret(b"1" * 65), "has 65 bytes"),
        (secret(b"1" * 31, "whsk_"), "is not a private key on Ed25519"),
        ("x" * 5000, "file must have 1 to 4 secrets"),
    ],
)
def test_a_wrong_file_is_one_line_without_the_secret(content: str, told: str) -> None:
    with pytest.raises(ConfigurationFault) as raised:
        parse_secrets(content.encode(), "file")
    assert told in str(raised.value)
    assert "hunter2" not in str(raised.value)


@given(st.binary(max_size=6000))
def test_any_file_is_read_or_refused(content: bytes) -> None:
    try:
        assert parse_secrets(content, "file")
    except ConfigurationFault as error:
        assert "\n" not in str(error)
