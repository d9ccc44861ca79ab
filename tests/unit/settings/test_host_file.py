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
TEXT = "is no text, fix: write a text, a number, true, false or a list of arguments; '' is the empty text"


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("", ["f.yaml:1: the file has no plugins, fix: begin with the key 'plugins:'"]),
        ("- a", ["f.yaml:1: the file has no plugins, fix: begin with the key 'plugins:'"]),
        (
            "plugins: [a]",
            ["f.yaml:1: plugins[1]: is not a section (a), fix: write KEY: VALUE lines below the key, and indent them"],
        ),
        (
            f'{BEGIN}  settings: {{K: "a\\0b"}}',
            ["f.yaml:3: a value has a character that is no text, fix: remove the \\0 or \\u"],
        ),
        ("plugins:", ["f.yaml:1: plugins: is empty, fix: indent its keys or items below it, or remove it"]),
        (
            "plugin: []",
            ["f.yaml:1: plugins: is missing, fix: add the key", "f.yaml:1: plugin: unknown key, fix: write plugins"],
        ),
        (f"{BEGIN}- alias: x", ["f.yaml:3: plugins[2].name: is missing, fix: add the key"]),
        (f"{BEGIN}  setings: {{}}", ["f.yaml:3: plugins[1].setings: unknown key, fix: write settings"]),
        (
            f"{BEGIN}  zzz: 1",
            [
                "f.yaml:3: plugins[1].zzz: unknown key, fix: remove it, or write one of name, alias, settings, "
                "enabled, state, replace"
            ],
        ),
        (
            f"{BEGIN}  enabled: maybe",
            ["f.yaml:3: plugins[1].enabled: is neither true nor false (maybe), fix: write true or false"],
        ),
        (
            f"{BEGIN}  state: gone",
            ["f.yaml:3: plugins[1].state: is none of the possible values (gone), fix: write present or absent"],
        ),
        (f"{BEGIN}  settings:\n    a: ok\n    b:", [f"f.yaml:5: plugins[1].settings.b: {TEXT}"]),
        (f"{BEGIN}  settings:\n    a: {{b: c}}", [f"f.yaml:4: plugins[1].settings.a: {TEXT}"]),
        (
            f"{BEGIN}  settings:\n    a: [b, 'c d']",
            [
                "f.yaml:4: plugins[1].settings.a: has an item with a space or none, fix: write a list of arguments, "
                "which engines divide at spaces"
            ],
        ),
        (
            f"{BEGIN}  alias: p@sha256:{'0' * 64}",
            [f"f.yaml:3: plugins[1].alias: an alias cannot have a digest (p@sha256:{'0' * 64}), fix: write NAME:TAG"],
        ),
        (
            f"{BEGIN}  state: absent\n  enabled: true",
            [
                "f.yaml:4: plugins[1].enabled: a plugin with 'state: absent' has no such key (true), fix: remove it",
            ],
        ),
        (
            f"{BEGIN}- {{name: 'x:1', alias: 'm:5000/p:1'}}",
            ["f.yaml:3: plugins[2]: m:5000/p:1 is plugins[1] already, fix: give one an alias"],
        ),
        (f"{BEGIN}  name: x", ["f.yaml:3: the key name is given twice, fix: keep one of the two"]),
        (
            f"{BEGIN}  ? [a]\n  : b",
            ["f.yaml:3: a key is in brackets or braces, fix: write a value that begins with { in quotes"],
        ),
        (
            f"{BEGIN} x",
            [
                "f.yaml:3: the indentation fits no line above, or text follows a quote or brace, fix: indent keys "
                "alike, or write the whole value in quotes"
            ],
        ),
        ('"\\UFFFFFFFF"', ["f.yaml: a number after a backslash or % is too large, fix: write the character itself"]),
        (
            "a: &a [*a]",
            ["f.yaml:1: the file is nested too deeply, fix: look for an anchor (&) that contains its alias (*)"],
        ),
        (
            "[" * 3000,
            ["f.yaml: the file is nested too deeply, fix: look for an anchor (&) that contains its alias (*)"],
        ),
    ],
)
def test_a_mistake_is_told_with_line_and_key(text: str, messages: list[str]):
    assert fault(text) == messages


def test_aliases_do_not_multiply():
    lines = ["a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]"]
    lines += [f"{name}: &{name} [{', '.join([f'*{before}'] * 40)}]" for before, name in ("ab", "bc", "cd")]
    assert fault("\n".join(lines)) == [
        "f.yaml:1: the file has more than 50000 values, fix: repeat fewer aliases (*) of anchors (&)"
    ]


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
