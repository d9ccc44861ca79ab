from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Repository
from mirror.oci.errors import ConfigurationFault, NameInvalid
from mirror.oci.name_mapping import NameMapping


@pytest.mark.parametrize(
    ("source", "target", "there", "here"),
    [
        ("store/contiv/v2plugin", "contiv/v2plugin", "store/contiv/v2plugin", "contiv/v2plugin"),
        ("store/contiv/v2plugin", "contiv/v2plugin", "store/contiv/v2plugin2", None),
        ("store/*/*", "*/*", "store/contiv/v2plugin", "contiv/v2plugin"),
        ("store/*/*", "*/*", "store/contiv", None),
        ("store/*/*", "*/*", "store/a/b/c", None),
        ("*/plugin", "*/x", "a/plugin", "a/x"),
        ("**", "hub/**", "vieux/sshfs", "hub/vieux/sshfs"),
        ("**", "hub/**", "sshfs", "hub/sshfs"),
        ("store/**", "**", "store/a/b/c", "a/b/c"),
        ("store/**", "**", "store", None),
        ("*/**", "x/*/y/**", "a/b/c", "x/a/y/b/c"),
        ("a.b/*", "c/*", "axb/d", None),
    ],
)
def test_names_there_and_here(source: str, target: str, there: str, here: str | None) -> None:
    mapped = NameMapping(source, target).apply(Repository(there))
    assert (mapped.name if mapped else None) == here


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("*", "x"),
        ("x", "*"),
        ("*/*", "*"),
        ("*", "**"),
        ("*/**", "**"),
        ("**/x", "**/x"),
        ("a*", "a*"),
        ("", ""),
        ("Upper", "upper"),
        ("../x", "x"),
        ("x/", "x"),
        ("***", "***"),
    ],
)
def test_patterns_that_mean_nothing(source: str, target: str) -> None:
    with pytest.raises(ConfigurationFault):
        NameMapping(source, target)


def test_one_repository_or_many() -> None:
    assert NameMapping("a/b", "c").plain_source == Repository("a/b")
    assert NameMapping("a/*", "c/*").plain_source is None


def test_a_name_that_grows_too_long() -> None:
    with pytest.raises(NameInvalid):
        NameMapping("**", "hub/**").apply(Repository("a" * 255))


COMPONENT = st.from_regex(r"[a-z0-9]{1,5}(-[a-z0-9]{1,3})?", fullmatch=True)


@given(st.lists(COMPONENT, min_size=1, max_size=5))
def test_there_and_back(components: list[str]) -> None:
    name = Repository("/".join(components))
    here = NameMapping("**", "hub/**").apply(name)
    assert here is not None
    assert NameMapping("hub/**", "**").apply(here) == name
