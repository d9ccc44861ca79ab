"""Config templates, for example those of contiv."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import ConfigurationFault, ManifestInvalid
from mirror.plugin.build.config_template import fill

CONTIV = b"""{
    "entrypoint": ["/start.sh"],
    "env": [
       {
          "Name": "plugin_name",
          ## replaced when the plugin is built
          "Value": "PluginName"
       },
       {"Name": "image", "Value": "acme/__NAME__:__TAG_OF_IT__", "Description": "says ## and __init__"}
    ],
\t## the end
    "Linux": {"Capabilities": ["CAP_SYS_ADMIN"]}
}
"""
VALUES = {"PluginName": 'site/"contiv":1.0', "NAME": "driver", "TAG_OF_IT": "__NAME__"}


def test_comments_are_dropped_and_placeholders_filled() -> None:
    filled = fill(CONTIV, VALUES)
    assert filled["env"][0] == {"Name": "plugin_name", "Value": 'site/"contiv":1.0'}
    assert filled["env"][1]["Value"] == "acme/driver:__NAME__"  # inserted values are not expanded again
    assert filled["env"][1]["Description"] == "says ## and __init__"


def test_what_is_not_filled_is_named_with_what_to_add() -> None:
    with pytest.raises(ConfigurationFault, match=r"add --set PluginName=VALUE --set TAG_OF_IT=VALUE$"):
        fill(CONTIV, {"NAME": "driver"})


def test_a_value_for_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationFault, match=r"no placeholder 'Tag' \(it has: NAME, PluginName, TAG_OF_IT\)"):
        fill(CONTIV, {**VALUES, "Tag": "1"})


def test_a_mistake_is_told_by_its_line_in_the_file() -> None:
    with pytest.raises(ManifestInvalid, match="line 3, column 6"):
        fill(b'{\n## a comment\n"a": x\n}', {})


@pytest.mark.parametrize("content", [b"", b"[]", b"## nothing", b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"])
def test_what_is_no_configuration_is_refused(content: bytes) -> None:
    with pytest.raises(ManifestInvalid):
        fill(content, {})


_PLAIN = st.text(max_size=12).filter(lambda text: "__" not in text and text not in {"PluginName", "KEY", "OTHER_2"})
_VALUE = st.one_of(_PLAIN, st.sampled_from(["__KEY__", "x__OTHER_2__y", "PluginName", "__KEY____KEY__"]))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | _VALUE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_PLAIN, inner, max_size=4),
    max_leaves=12,
)


def _expected(value: Any, values: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _expected(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_expected(item, values) for item in value]
    if not isinstance(value, str):
        return value
    if value == "PluginName":
        return values["PluginName"]
    return re.sub("__(KEY|OTHER_2)__", lambda match: values[match[1]], value)


@given(
    document=st.dictionaries(_PLAIN, _JSON, max_size=4),
    texts=st.tuples(*[st.text(max_size=20)] * 3),
    comments=st.lists(st.text(alphabet='ab"{}#_ ', max_size=20), max_size=5),
    data=st.data(),
)
def test_only_placeholders_change(
    document: dict[str, Any], texts: tuple[str, str, str], comments: list[str], data: st.DataObject
) -> None:
    values = dict(zip(("KEY", "OTHER_2", "PluginName"), texts, strict=True))
    lines = json.dumps(document, indent=1).split("\n")
    for comment in comments:
        lines.insert(data.draw(st.integers(0, len(lines))), f"  ##{comment}")
    used = {key: value for key, value in values.items() if _uses(document, key)}
    assert fill("\n".join(lines).encode(), used) == _expected(document, values)


def _uses(value: Any, key: str) -> bool:
    if isinstance(value, dict):
        return any(_uses(item, key) for item in value.values())
    if isinstance(value, list):
        return any(_uses(item, key) for item in value)
    return isinstance(value, str) and (f"__{key}__" in value or value == key)
