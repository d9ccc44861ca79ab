"""Mapping of errors to codes and HTTP statuses, and the JSON error body (distribution-spec, "Error Codes").

Engines up to 19.03 drop the text of an error whose message is the code's standard message or whose detail is null.
Every body built here therefore has a message of its own and an object as detail.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mirror.oci import errors
from mirror.oci.errors import MirrorError
from mirror.oci.remote_storage_errors import BucketFault, CatalogUnreachable

#: Largest part of an upstream's error body that is read, in bytes.
MAX_ERROR_BODY_BYTES = 64 * 1024

#: Error class → code and status. An error not listed uses its nearest listed base class.
TABLE: dict[type[MirrorError], tuple[str, int]] = {
    errors.ClientFault: ("UNSUPPORTED", 400),
    errors.NameInvalid: ("NAME_INVALID", 400),
    errors.DigestInvalid: ("DIGEST_INVALID", 400),
    errors.SizeInvalid: ("SIZE_INVALID", 400),
    errors.ManifestInvalid: ("MANIFEST_INVALID", 400),
    errors.ManifestBlobUnknown: ("MANIFEST_BLOB_UNKNOWN", 400),
    errors.ContentTooSlow: ("SIZE_INVALID", 408),
    errors.ContentTooLarge: ("SIZE_INVALID", 413),
    errors.RangeInvalid: ("BLOB_UPLOAD_INVALID", 416),
    errors.UploadInvalid: ("BLOB_UPLOAD_INVALID", 400),
    errors.Unsupported: ("UNSUPPORTED", 405),
    errors.Unauthorized: ("UNAUTHORIZED", 401),
    errors.Denied: ("DENIED", 403),
    errors.ReferenceInUse: ("DENIED", 409),
    errors.TooManyRequests: ("TOOMANYREQUESTS", 429),
    errors.NotFound: ("UNSUPPORTED", 404),
    errors.RepositoryUnknown: ("NAME_UNKNOWN", 404),
    errors.ManifestUnknown: ("MANIFEST_UNKNOWN", 404),
    errors.BlobUnknown: ("BLOB_UNKNOWN", 404),
    errors.UploadUnknown: ("BLOB_UPLOAD_UNKNOWN", 404),
    errors.UpstreamFault: ("UNKNOWN", 502),
    errors.UpstreamUnreachable: ("UNKNOWN", 504),
    errors.StorageFault: ("UNKNOWN", 500),
    errors.StorageFull: ("UNKNOWN", 507),
    errors.TooManyOpenFiles: ("UNKNOWN", 503),
    CatalogUnreachable: ("UNKNOWN", 503),
    BucketFault: ("UNKNOWN", 503),
    errors.Busy: ("UNKNOWN", 503),
    MirrorError: ("UNKNOWN", 500),
}
_CLIENT_FAULTS = {family: said for family, said in TABLE.items() if issubclass(family, errors.ClientFault)}
_BY_BOTH = {said: family for family, said in _CLIENT_FAULTS.items()}
_BY_CODE = {
    code: family
    for family, (code, _) in _CLIENT_FAULTS.items()
    # These need their status too: the first two share their code with another class, and a bare UNAUTHORIZED from
    # another registry must not become a 401 of ours.
    if family not in {errors.ReferenceInUse, errors.NotFound, errors.Unauthorized}
}
_BY_STATUS: dict[int, type[MirrorError]] = {
    404: errors.NotFound,
    405: errors.Unsupported,
    413: errors.ContentTooLarge,
    416: errors.RangeInvalid,
    501: errors.Unsupported,
}


@dataclass(frozen=True, slots=True)
class ReceivedError:
    """An error in another registry's answer."""

    code: str
    message: str


def code_and_status(error: MirrorError) -> tuple[str, int]:
    """Return the distribution error code and HTTP status for ``error``."""
    return next(TABLE[family] for family in type(error).__mro__ if family in TABLE)


def error_class(code: str, status: int) -> type[MirrorError]:
    """Return the error class for another registry's answer: by code and status, else by code, else by status.

    The result is a class of :data:`TABLE`; ``ClientFault`` if neither code nor status is known.
    """
    exact = (code, status)
    return _BY_BOTH.get(exact) or _BY_CODE.get(code) or _BY_STATUS.get(status) or errors.ClientFault


def build(code: str, message: str, detail: dict[str, str]) -> bytes:
    """Build the JSON body of an error answer."""
    error = {"code": code, "message": message, "detail": detail}
    return json.dumps({"errors": [error]}).encode()


def parse(body: bytes) -> list[ReceivedError]:
    """Parse the errors in an answer's body. Return an empty list if the body is not an error body."""
    try:
        value: Any = json.loads(body[:MAX_ERROR_BODY_BYTES])
    # The body comes from an upstream, and deep nesting makes the parser exhaust the stack.
    except (ValueError, RecursionError):
        return []
    listed = value.get("errors") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        return []
    return [
        ReceivedError(str(item.get("code") or "UNKNOWN"), str(item.get("message") or ""))
        for item in listed
        if isinstance(item, dict)
    ]
