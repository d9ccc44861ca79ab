"""Signatures of S3 requests for which obstore has no call (AWS Signature Version 4). Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_UNRESERVED: Final = "-._~"


@dataclass(frozen=True, slots=True)
class RequestKey:
    """RequestKey of requests to a bucket.

    Attributes:
        access_key_id: public name of the key.
        secret_key: the key.
        session_token: token of temporary credentials; empty without.
    """

    access_key_id: str
    secret_key: str
    session_token: str = ""


def signed_headers(
    method: str,
    url: str,
    credentials: RequestKey,
    *,
    region: str,
    at: datetime,
    body: bytes = b"",
    service: str = "s3",
    headers: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the headers of a request, with its signature.

    Args:
        method: HTTP method.
        url: whole URL, with its path encoded.
        credentials: who sends the request.
        region: region of the bucket.
        at: present time.
        body: body of the request.
        service: name of the service.
        headers: further headers to sign.
    """
    parts, when = urlsplit(url), f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    hashed_body = hashlib.sha256(body).hexdigest()
    sent = {**(headers or {}), "x-amz-date": when}
    if service == "s3":
        sent["x-amz-content-sha256"] = hashed_body
    if credentials.session_token:
        sent["x-amz-security-token"] = credentials.session_token
    signed = {name.lower(): " ".join(value.split()) for name, value in {**sent, "host": parts.netloc}.items()}
    names = ";".join(sorted(signed))
    query = sorted((_quoted(key), _quoted(value)) for key, value in parse_qsl(parts.query, keep_blank_values=True))
    canonical = "\n".join(
        [
            method,
            parts.path or "/",
            "&".join(f"{key}={value}" for key, value in query),
            *(f"{name}:{signed[name]}" for name in sorted(signed)),
            "",
            names,
            hashed_body,
        ]
    )
    scope = f"{when[:8]}/{region}/{service}/aws4_request"
    text = "\n".join([_ALGORITHM, when, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (*scope.split("/"),):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    sent["Authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return sent


def _quoted(text: str) -> str:
    return quote(text, safe=_UNRESERVED)
