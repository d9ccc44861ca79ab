"""Error bodies, and the table of error codes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import errors
from mirror.oci.errors import MirrorError
from mirror.wire import error_body
from mirror.wire.error_body import MAX_ERROR_BODY_BYTES, ReceivedError

#: distribution-spec, "Error Codes", and distribution's UNKNOWN for what is no fault of the client.
CODES = {
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DENIED",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
    "UNKNOWN",
}
WORDS = st.text(min_size=1)


def family(kind: type[MirrorError]) -> list[type[MirrorError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in family(child))]


@given(WORDS, st.text(), st.dictionaries(st.text(), st.text()))
def test_an_error_is_read_as_it_was_built(code: str, message: str, detail: dict[str, str]) -> None:
    body = error_body.build(code, message, detail)
    assert json.loads(body)["errors"][0]["detail"] == detail
    assert error_body.parse(body) == [ReceivedError(code, message)]


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.recursive(st.none() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_any_bytes_are_some_errors(body: bytes) -> None:
    for error in error_body.parse(body):
        assert error.code


def test_text_that_is_not_unicode_is_still_told() -> None:
    assert json.loads(error_body.build("UNSUPPORTED", "no \udcff", {}))


@pytest.mark.parametrize("kind", [each for each in family(MirrorError) if each.__module__ == errors.__name__])
def test_every_error_has_a_code_and_a_status(kind: type[MirrorError]) -> None:
    code, status = error_body.code_and_status(kind("why"))
    assert code in CODES
    assert (400 <= status < 500) == issubclass(kind, errors.ClientFault)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", []),
        (b"<html>", []),
        (b"[]", []),
        (b'{"errors": null}', []),
        (b'{"errors": {"code": "X"}}', []),
        (b'{"errors": [null, 3, {"message": "m"}, {"code": "DENIED"}]}', [("UNKNOWN", "m"), ("DENIED", "")]),
        (b'{"errors": [{"code": 7, "message": ["m"]}]}', [("7", "['m']")]),
        (b"[" * 50_000, []),
        (b'{"errors": [{"code": "X"}]}' + b" " * MAX_ERROR_BODY_BYTES, [("X", "")]),
    ],
)
def test_bodies(body: bytes, expected: list[tuple[str, str]]) -> None:
    assert [(error.code, error.message) for error in error_body.parse(body)] == expected
