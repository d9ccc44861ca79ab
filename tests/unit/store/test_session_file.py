import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Repository
from mirror.oci.errors import StorageDamaged
from mirror.store.uploads.session_file import UploadSessionFile

repositories = st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,3}", fullmatch=True).map(Repository.parse)
zones = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))
moments = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=zones)  # noqa: DTZ001 -- zones are drawn
sessions = st.builds(UploadSessionFile, repositories, moments)


@given(sessions)
def test_what_is_built_is_parsed(session: UploadSessionFile) -> None:
    assert UploadSessionFile.parse(session.build()) == session
    assert UploadSessionFile.parse(session.build()).begun.tzinfo == UTC


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_no_bytes_raise_anything_else(content: bytes) -> None:
    with suppress(StorageDamaged):
        UploadSessionFile.parse(content)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(["repository", "begun", "expected"], json_values)))
def test_no_json_raises_anything_else(value: object) -> None:
    with suppress(StorageDamaged):
        UploadSessionFile.parse(json.dumps(value).encode())


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"null", b"[" * 100_000, b'{"repository":"a"}'])
def test_what_is_not_a_session(content: bytes) -> None:
    with pytest.raises(StorageDamaged):
        UploadSessionFile.parse(content)
