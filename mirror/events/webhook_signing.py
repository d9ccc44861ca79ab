"""Signatures of webhooks, as Standard Webhooks defines them. Pure.

``whsec_…`` is a secret that both sides know, and signs with HMAC-SHA256 (``v1``). ``whsk_…`` is a private key on
Ed25519 that only this side knows (``v1a``).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mirror.oci.errors import ConfigurationFault

_SECRET, _KEY = "whsec_", "whsk_"
_LEAST_BYTES, _MOST_BYTES = 24, 64
_SEED_BYTES: Final = 32
#: A secret for each side of a rotation, and some more.
_MOST_SECRETS: Final = 4
MOST_FILE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """A secret that signs webhooks.

    Attributes:
        scheme: ``v1`` for HMAC-SHA256, ``v1a`` for Ed25519.
    """

    scheme: str
    _bytes: bytes = field(repr=False)

    def sign(self, signed: bytes) -> str:
        """Return the signature, with its scheme."""
        if self.scheme == "v1":
            signature = hmac.digest(self._bytes, signed, "sha256")
        else:
            signature = Ed25519PrivateKey.from_private_bytes(self._bytes).sign(signed)
        return f"{self.scheme},{base64.b64encode(signature).decode()}"


def parse_secrets(content: bytes, name: str) -> Sequence[WebhookSecret]:
    """Parse the file of secrets: one on each line. All of them sign, so that a receiver can change to the next one.

    Raises:
        ConfigurationFault: there is no secret, or a line is none. The message does not have the line.
    """
    lines = content.decode("ascii", errors="replace").split()
    if not 0 < len(lines) <= _MOST_SECRETS or len(content) > MOST_FILE_BYTES:
        raise ConfigurationFault(f"{name} must have 1 to {_MOST_SECRETS} secrets, one on each line")
    return [_parsed(line, f"{name}, secret {number}") for number, line in enumerate(lines, 1)]


def webhook_headers(event_id: str, seconds: int, body: bytes, secrets: Sequence[WebhookSecret]) -> dict[str, str]:
    """Return the headers of a webhook.

    Args:
        event_id: id of the event, the same for each attempt.
        seconds: time of the attempt, in seconds since 1970.
        body: the event.
        secrets: secrets that sign.
    """
    signed = f"{event_id}.{seconds}.".encode() + body
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(secret.sign(signed) for secret in secrets),
    }


def _parsed(line: str, name: str) -> WebhookSecret:
    prefix = next((one for one in (_SECRET, _KEY) if line.startswith(one)), None)
    if prefix is None:
        raise ConfigurationFault(
            f"{name} is no secret of Standard Webhooks; fix: make one with "
            "'printf whsec_; openssl rand -base64 32', or a private key whsk_…"
        )
    try:
        content = base64.b64decode(line.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigurationFault(f"{name} is not base64 after {prefix}") from error
    if prefix == _KEY:
        if len(content) not in {_SEED_BYTES, 2 * _SEED_BYTES}:  # some programs write the public key after the seed
            raise ConfigurationFault(f"{name} is not a private key on Ed25519, which has {_SEED_BYTES} bytes")
        return WebhookSecret("v1a", content[:_SEED_BYTES])
    if not _LEAST_BYTES <= len(content) <= _MOST_BYTES:
        raise ConfigurationFault(f"{name} has {len(content)} bytes, and must have {_LEAST_BYTES} to {_MOST_BYTES}")
    return WebhookSecret("v1", content)
