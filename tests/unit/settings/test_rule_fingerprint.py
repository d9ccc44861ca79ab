"""The fingerprint of a mirror rule changes with what a run does, and with nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import Field, create_model

from mirror.oci import Digest
from mirror.settings.mirror_settings import MirrorSettings
from mirror.settings.section import stated

RULE = {
    "name": "r",
    "from": "hub/a/b",
    "to": "b",
    "tags": {"include": ["1.*"], "newest": 5},
    "derive": {"env": {"PASSWORD": "one"}},
}


def fingerprint(**changes: Any) -> str:
    return str(MirrorSettings.model_validate(RULE | changes).fingerprint)


@pytest.mark.parametrize(
    "changes",
    [
        {"from": "other/a/b"},
        {"from": "hub/a/c"},
        {"to": "c"},
        {"to": ["b", "c"]},
        {"tags": {"include": ["1.*"], "newest": 6}},
        {"tags": {"include": ["1.*"]}},
        {"tags": {}},
        {"pin": {"1.0": str(Digest.of(b"one"))}},
        {"on_upstream_delete": "follow"},
        {"keep": {"newest": 1}},
        {"derive": {"env": {"PASSWORD": "two"}}},
        {"derive": {"env": {"PASSWORD": "one"}, "fix": True}},
        {"derive": None},
    ],
    ids=str,
)
def test_what_changes_a_run_changes_the_fingerprint(changes: dict[str, Any]) -> None:
    assert fingerprint(**changes) != fingerprint()


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "s"},
        {"every": "6h"},
        {"cron": "17 */6 * * *", "time_zone": "Europe/Zurich"},
        {"to": ["b"]},
        {"on_upstream_delete": "keep"},
        {"keep": None},
        {"pin": {}},
        {"tags": {"newest": 5, "exclude": [], "include": ["1.*"]}},
    ],
    ids=str,
)
def test_times_spellings_and_defaults_do_not(changes: dict[str, Any]) -> None:
    assert fingerprint(**changes) == fingerprint()


def test_comments_and_the_order_of_keys_do_not_count() -> None:
    text = (
        "# ours\ntags: {newest: 5, include: ['1.*']}\nto: [b]\nname: r\nfrom: hub/a/b\nderive: {env: {PASSWORD: one}}"
    )
    assert MirrorSettings.model_validate(yaml.safe_load(text)).fingerprint == fingerprint()


def test_a_key_of_a_later_version_counts_where_it_is_used() -> None:
    later = create_model("Later", __base__=MirrorSettings, platforms=(tuple[str, ...], Field(())))
    assert later.model_validate(RULE).fingerprint == fingerprint()
    assert later.model_validate(RULE | {"platforms": ["linux/arm64"]}).fingerprint != fingerprint()


def test_sections_in_lists_are_compared_by_their_keys() -> None:
    inner = create_model("Inner", first=(int, 1), second=(int, 2))
    outer = create_model("Outer", many=(tuple[inner, ...], ()), by_name=(dict[str, inner], {}))  # type: ignore[valid-type]
    given = {"many": [{"first": 3, "second": 2}], "by_name": {"x": {"second": 1}}}
    assert stated(outer.model_validate(given)) == {"many": [{"first": 3}], "by_name": {"x": {"second": 1}}}
