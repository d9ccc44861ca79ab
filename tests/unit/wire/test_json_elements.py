"""One array of a large JSON document: the result of a complete parser, in bounded steps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import ManifestInvalid
from mirror.wire.json_elements import MAX_ELEMENT_BYTES, elements

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r\n ")])


def found(body: bytes) -> list[Any]:
    return [element for some in elements(body, "tags", "list of tags") for element in some]


@given(st.lists(VALUES) | st.lists(st.text()), st.dictionaries(st.text(), VALUES), st.booleans(), SEPARATORS)
def test_it_gives_what_a_whole_parser_gives(
    tags: list[Any], others: dict[str, Any], ascii_: bool, separators: tuple[str, str]
) -> None:
    body = json.dumps({**others, "tags": tags}, ensure_ascii=ascii_, separators=separators).encode()
    assert found(body) == tags


@given(st.binary() | st.text(alphabet='{}[]",:\\ tags0n').map(str.encode))
def test_whatever_comes_is_a_list_or_refused(body: bytes) -> None:
    try:
        tags = found(body)
    except ManifestInvalid:
        return
    assert isinstance(tags, list)


@given(st.text(alphabet='{}[]",:\\ tags0n').map(lambda inside: f'{{"tags":[{inside}]}}'.encode()))
def test_an_array_that_no_parser_takes_is_refused(body: bytes) -> None:
    try:
        expected = json.loads(body, object_pairs_hook=tuple)
    except ValueError:
        with pytest.raises(ManifestInvalid):
            found(body)
    else:
        if len(expected) == 1:
            assert found(body) == json.loads(body)["tags"]


@pytest.mark.parametrize("body", [b"{}", b'{"tags": null}', b'{"tags": []}', b' { "name" : "x" , "tags" : [ ] } \n'])
def test_nothing_is_listed(body: bytes) -> None:
    assert found(body) == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b'"tags"', "not a JSON object"),
        (b"{", "not JSON"),
        (b'{"tags"}', "not JSON"),
        (b'{"tags": "a"}', "not a list"),
        (b'{"tags": {"a": 1}}', "not a list"),
        (b'{"tags": ["a"]', "not JSON"),
        (b'{"tags": ["a",]}', "not JSON"),
        (b'{"tags": ["a" "b"]}', "not JSON"),
        (b'{"tags": ["\\x"]}', "not JSON"),
        (b'{"tags": ["\xff"]}', "not JSON"),
        (b'{"tags": [NaN]}', "not JSON"),
        (b'{"tags": ["a"]} x', "not JSON"),
        (b'{"x": [}, "tags": []}', "not JSON"),
        (b'{"tags": ["a"], "tags": ["b"]}', "twice"),
        (b'{"x": ' + b"[" * 1_000_000, "more than 64 deep"),
        (b'{"tags": [' + b"[" * 1_000_000, "more than 64 deep"),
        (b'{"tags": ["' + b"a" * 2 * MAX_ELEMENT_BYTES + b'"]}', "a string that is too long"),
        (b'{"tags": [[' + b"1," * MAX_ELEMENT_BYTES + b"1]]}", f"more than {MAX_ELEMENT_BYTES} bytes"),
        (b'{"x": "' + b"a" * 2 * MAX_ELEMENT_BYTES + b'"}', "a string that is too long"),
        (b'{"x": [' + b"[]," * 1_000_000 + b"[]]}", "too many nested values"),
        (b"{" + b" " * 2 * MAX_ELEMENT_BYTES + b"}", "not JSON"),
    ],
    ids=range(23),
)
def test_what_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(ManifestInvalid, match=why) as raised:
        found(body)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"tags": [f"v1.0.{number}" for number in range(100_000)]}).encode(),
        b'{"tags": [' + b'"",' * 300_000 + b'""]}',
        b'{"tags": [' + b"{}," * 100_000 + b"{}]}",
    ],
    ids=["names", "empty names", "objects"],
)
def test_no_step_gives_more_than_a_thousand(body: bytes) -> None:
    assert max(len(some) for some in elements(body, "tags", "list")) <= 1024


def test_what_is_passed_over_is_passed_over_in_steps() -> None:
    """Google's registries list tags like this: an object beside the array describes each manifest."""
    manifest = {f"sha256:{number:064}": {"imageSizeBytes": "1", "tag": ["a", "b"]} for number in range(10_000)}
    body = json.dumps({"child": [], "manifest": manifest, "name": "x", "tags": ["a", "b"]}).encode()
    steps = list(elements(body, "tags", "list"))
    assert [element for some in steps for element in some] == ["a", "b"]
    assert len(steps) > 50
