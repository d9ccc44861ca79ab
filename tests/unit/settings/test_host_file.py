"""The file with the plugins that a host should have: values, errors with line and key, the schema and the example."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import ConfigurationFault
from mirror.settings.host_file import MAX_FILE_BYTES, host_file_schema, load_host_file, read_host_file

CONFIG = Path(__file__).parents[3] / "config"


def settings(text: str) -> Any:
    (plugin,) = read_host_file(f"plugins: [{{name: 'm:5000/p:1', settings: {{key: {text}}}}}]".encode(), "f")
    return plugin.settings["key"]


def fault(text: str) -> list[str]:
    with pytest.raises(ConfigurationFault) as caught:
        read_host_file(text.encode(), "f.yaml")
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("eth1", "eth1"),
        ("0644", "0644"),
        ("1.10", "1.10"),
        ("yes", "yes"),
        ("true", "true"),
        ("12:30", "12:30"),
        ("''", ""),
        ("'null'", "null"),
        ("[-a, 0755, --mode=x]", "-a 0755 --mode=x"),
        ("[]", ""),
    ],
)
def test_a_setting_is_the_text_as_it_is_written(written: str, read: str):
    assert settings(written) == read


def test_json_is_read_too():
    (plugin,) = read_host_file(b'{"plugins": [{"name": "p:1", "enabled": false, "settings": {"n": 1e3}}]}', "f")
    assert (plugin.enabled, plugin.settings) == (False, {"n": "1e3"})


def test_names_are_those_of_the_engine():
    text = "plugins:\n- name: docker.io/library/a\n- name: m:5000/b:2\n- {name: 'm:5000/c:3', alias: d}\n"
    assert [plugin.name for plugin in read_host_file(text.encode(), "f")] == ["a:latest", "m:5000/b:2", "d:latest"]


BEGIN = "plugins:\n- name: m:5000/p:1\n"
TEXT = "write a text, a number, true, false or a list of arguments; '' is the empty text"


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("", ["f.yaml:1: must begin with the key 'plugins:'"]),
        ("- a", ["f.yaml:1: must begin with the key 'plugins:'"]),
        (
            "plugins: [a]",
            ["f.yaml:1: plugins.0: must be a mapping, such as 'name: mirror:5000/contiv/v2plugin:1.0' (it is 'a')"],
        ),
        (f'{BEGIN}  settings: {{K: "a\\0b"}}', ["f.yaml:3: plugins.0.settings.K: a value cannot have a NUL character"]),
        ("plugins:", ["f.yaml:1: plugins: must be a list of plugins, each of which begins with '- name: …'"]),
        ("plugin: []", ["f.yaml:1: plugins: is required", "f.yaml:1: plugin: unknown key; did you mean plugins?"]),
        (f"{BEGIN}- alias: x", ["f.yaml:3: plugins.1.name: is required"]),
        (f"{BEGIN}  setings: {{}}", ["f.yaml:3: plugins.0.setings: unknown key; did you mean settings?"]),
        (
            f"{BEGIN}  zzz: 1",
            ["f.yaml:3: plugins.0.zzz: unknown key; allowed: name, alias, settings, enabled, state, replace"],
        ),
        (f"{BEGIN}  enabled: maybe", ["f.yaml:3: plugins.0.enabled: must be true or false (it is 'maybe')"]),
        (
            f"{BEGIN}  state: gone",
            ["f.yaml:3: plugins.0.state: must be present or absent (it is 'gone')"],
        ),
        (f"{BEGIN}  settings:\n    a: ok\n    b:", [f"f.yaml:5: plugins.0.settings.b: {TEXT}"]),
        (f"{BEGIN}  settings:\n    a: {{b: c}}", [f"f.yaml:4: plugins.0.settings.a: {TEXT}"]),
        (
            f"{BEGIN}  settings:\n    a: [b, 'c d']",
            [
                "f.yaml:4: plugins.0.settings.a: a list is for arguments; each is a text without spaces, because "
                "engines divide at spaces"
            ],
        ),
        (
            f"{BEGIN}  alias: p@sha256:{'0' * 64}",
            [
                "f.yaml:3: plugins.0.alias: an alias cannot have a digest; fix: write NAME:TAG "
                f"(it is 'p@sha256:{'0' * 64}')"
            ],
        ),
        (
            f"{BEGIN}  state: absent\n  enabled: true",
            ["f.yaml:2: plugins.0: a plugin with 'state: absent' has no enabled; fix: remove the key"],
        ),
        (
            f"{BEGIN}- {{name: 'x:1', alias: 'm:5000/p:1'}}",
            ["f.yaml:3: plugins.1: m:5000/p:1 is plugins.0 already; fix: give one an alias"],
        ),
        (f"{BEGIN}  name: x", ["f.yaml:3: 'name' is given twice"]),
        (f"{BEGIN}  ? [a]\n  : b", ["f.yaml:3: a key must be a text"]),
        (f"{BEGIN} x", ["f.yaml:3: not YAML: expected <block end>, but found '<scalar>'"]),
        ('"\\UFFFFFFFF"', ["f.yaml: not YAML: a number is too large"]),
        ("a: &a [*a]", ["f.yaml:1: the file is nested too deeply"]),
        ("[" * 3000, ["f.yaml: the file is nested too deeply"]),
    ],
)
def test_a_mistake_is_told_with_line_and_key(text: str, messages: list[str]):
    assert fault(text) == messages


def test_aliases_do_not_multiply():
    lines = ["a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]"]
    lines += [f"{name}: &{name} [{', '.join([f'*{before}'] * 40)}]" for before, name in ("ab", "bc", "cd")]
    assert fault("\n".join(lines)) == ["f.yaml:1: the file has more than 50000 values"]


def test_a_large_file_is_not_read(tmp_path: Path):
    (tmp_path / "f.yaml").write_bytes(b" " * (MAX_FILE_BYTES + 1))
    with pytest.raises(ConfigurationFault, match="more than 262144 bytes"):
        load_host_file(tmp_path / "f.yaml")


def test_a_missing_file_is_told(tmp_path: Path):
    with pytest.raises(ConfigurationFault, match="absent: cannot be read: No such file or directory"):
        load_host_file(tmp_path / "absent")


def test_the_example_can_be_read():
    names = [plugin.name for plugin in load_host_file(CONFIG / "host-plugins.yaml")]
    assert names == ["contiv/v2plugin:1.0.0-beta.3", "loki:latest", "mirror:5000/site/old:1.0"]


def test_the_schema_in_the_folder_is_that_of_the_program():
    written = json.loads((CONFIG / "host-plugins.schema.json").read_text())
    assert written == host_file_schema()  # if not: plugin-mirror host schema > config/host-plugins.schema.json


fragments = st.sampled_from(
    ["plugins:", "- name: m:5000/p:1", "  settings:", "    a: b", "&a ", "*a", "<<: ", "[", "]", "{", "}", ": ", "\n"]
)


@given(st.one_of(st.binary(max_size=200), st.lists(fragments, max_size=12).map(lambda parts: "".join(parts).encode())))
def test_any_content_is_read_or_refused(content: bytes):
    try:
        read_host_file(content, "f.yaml")
    except ConfigurationFault as error:
        assert str(error).startswith("f.yaml")
