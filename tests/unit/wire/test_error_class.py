"""Errors of the tree, derived from the code and status of an answer."""

from __future__ import annotations

import pytest

from mirror.oci import errors
from mirror.oci.errors import MirrorError
from mirror.wire.error_body import TABLE, code_and_status, error_class

OWN = [family for family in TABLE if issubclass(family, errors.ClientFault)]


@pytest.mark.parametrize("family", OWN, ids=lambda family: family.__name__)
def test_what_we_say_is_understood_by_us(family: type[MirrorError]) -> None:
    assert error_class(*code_and_status(family("x"))) is family


@pytest.mark.parametrize(
    ("code", "status", "family"),
    [
        ("", 400, errors.ClientFault),
        ("", 404, errors.NotFound),
        ("", 405, errors.Unsupported),
        ("", 413, errors.ContentTooLarge),
        ("UNKNOWN", 413, errors.ContentTooLarge),
        ("", 416, errors.RangeInvalid),
        ("RANGE_INVALID", 416, errors.RangeInvalid),
        ("MANIFEST_BLOB_UNKNOWN", 404, errors.ManifestBlobUnknown),
        ("DIGEST_INVALID", 422, errors.DigestInvalid),
        ("BLOB_UPLOAD_INVALID", 404, errors.UploadInvalid),
        ("DENIED", 400, errors.Denied),
        ("UNSUPPORTED", 415, errors.Unsupported),
        ("UNAUTHORIZED", 418, errors.ClientFault),
        ("STORAGE_FULL", 400, errors.ClientFault),
    ],
)
def test_what_others_say(code: str, status: int, family: type[MirrorError]) -> None:
    assert error_class(code, status) is family
