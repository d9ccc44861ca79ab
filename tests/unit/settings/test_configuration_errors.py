"""Mistakes in the configuration: the exact line that each one gets, and what no line ever has."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from annotated_types import Le
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ByteSize

from mirror.oci.errors import ConfigurationFault
from mirror.runtime.durations import parse_duration
from mirror.settings import Settings, load
from mirror.settings.loading.model_keys import is_section, keys_at, kinds_at

TABLE = (Path(__file__).parent / "mistakes.txt").read_text()
#: Name, content and lines of each mistake of the table: "### NAME", the file, and "> " before each line about it.
MISTAKES = [
    (name, content, re.findall(r"^> (.*)$", lines, re.MULTILINE))
    for name, content, lines in re.findall(r"^### (.*)\n((?:(?![>#]).*\n)+)((?:> .*\n)+)", TABLE, re.MULTILINE)
]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settings_below(*above: str) -> Iterator[tuple[str, ...]]:
    """Yield the places of settings that a variable can name. A name stands for each that a user may choose."""
    for key in keys_at(Settings, above):
        yield (*above, key)
        yield from settings_below(*above, key)
        if any(get_origin(kind) is dict for kind in kinds_at(Settings, (*above, key))):
            yield (*above, key, "hub")
            yield from settings_below(*above, key, "hub")


SETTINGS = list(settings_below())


def told(content: str | bytes) -> list[str]:
    """Return the lines about the mistakes of a file."""
    Path("config.yaml").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigurationFault) as caught:
        load(Path("config.yaml"))
    return str(caught.value).splitlines()


@pytest.mark.parametrize(("content", "lines"), [pytest.param(*case[1:], id=case[0]) for case in MISTAKES])
def test_a_mistake_has_line_key_value_and_fix(content: str, lines: list[str]) -> None:
    assert told(content) == lines


def test_the_whole_table_is_read() -> None:
    assert len(MISTAKES) == TABLE.count("### ")
    assert [line for _, _, lines in MISTAKES for line in lines if ", fix: " not in line] == []


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            "server:\n  url: https://münchen.example\n".encode("latin-1"),
            "config.yaml:2: the byte 0xfc is not UTF-8, as in a file in Latin-1, fix: save the file in UTF-8",
        ),
        ("server: {}".encode("utf-16"), "config.yaml:1: the file is in UTF-16, fix: save it in UTF-8"),
        ("server: {}".encode("utf-32"), "config.yaml:1: the file is in UTF-32, fix: save it in UTF-8"),
        ("server: {}".encode("utf-32-be"), "config.yaml:1: the file is in UTF-32, fix: save it in UTF-8"),
        ("server: {}".encode("utf-16-be"), "config.yaml:1: the file is in UTF-16, fix: save it in UTF-8"),
        (
            b"server:\n  workers: 1\0\n",
            "config.yaml:2: there is a control character, fix: remove it; it may be invisible in an editor",
        ),
        (
            b'storage: {path: "a\\0b"}',
            "config.yaml:1: a value has a character that is no text, fix: remove the \\0 or \\u",
        ),
        (
            b"x-a: &a [*a]",
            "config.yaml:1: the file is nested too deeply, fix: look for an anchor (&) that contains its alias (*)",
        ),
        (
            b"server: {workers: " + b"9" * 5000 + b"}",
            f"config.yaml:1: server.workers: is too large ({'9' * 80}…), fix: write a smaller number",
        ),
    ],
)
def test_a_file_that_no_editor_should_write(content: bytes, line: str) -> None:
    assert told(content) == [line]


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ConfigurationFault) as caught:
        load(Path("absent.yaml"))
    line = "absent.yaml: cannot be read: no such file or directory, fix: name a file that this user can read"
    assert str(caught.value) == line


def test_a_pipe_that_nobody_writes_is_refused() -> None:
    os.mkfifo("pipe")
    for path in (Path("pipe"), Path("/dev/zero")):
        with pytest.raises(ConfigurationFault) as caught:
            load(path)
        line = f"{path}: cannot be read: it is a pipe or device, fix: name a file that this user can read"
        assert str(caught.value) == line


@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd"])
def test_the_pipe_of_a_shell_is_read(folder: str) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"server: {workers: 3}")
    os.close(writer)
    try:
        assert load(Path(f"{folder}/{reader}")).server.workers == 3
    finally:
        os.close(reader)
    assert load(Path("/dev/null")) == load()


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("SERVER__WORKERS", "many", "server.workers: is not a whole number (many), fix: write digits, such as 5"),
        ("SERVER__LISTEN", "5000", "server.listen: is not HOST:PORT (5000), fix: write it like 127.0.0.1:5000, "),
        ("SERVER__TRUSTED_PROXIES", "10.0.0.0/8", "server.trusted_proxies: is not a list (10.0.0.0/8), fix: "),
        ("UPSTREAMS__HUB__URL", "https://anna:hunter2hunter2@x", "upstreams.hub.url: the URL contains a user (https:/"),
        (
            "UPSTREAMS__HUB__OFFLINE",
            "true",
            "upstreams.hub.url: is missing, fix: set PLUGIN_MIRROR_UPSTREAMS__HUB__URL",
        ),
        ("MIRRORS", '[{"name": "a", "cron": "x"}]', "mirrors[a].from: is missing, fix: add the key"),
        (
            "STORAGE",
            "/srv/plugins",
            'storage: is not a section (/srv/plugins), fix: write JSON such as {"KEY": "VALUE"}, or set '
            "PLUGIN_MIRROR_STORAGE__KEY",
        ),
        (
            "UPSTREAMS__HUB",
            "x",
            'upstreams.hub: is not a section (x), fix: write JSON such as {"KEY": "VALUE"}, or set '
            "PLUGIN_MIRROR_UPSTREAMS__HUB__KEY",
        ),
        ("MIRRORS", "hunter", 'mirrors: is not a list (hunter), fix: write JSON such as ["a", "b"]'),
        (
            "SERVER__ANONYMOUS",
            "[pull",
            "server.anonymous: a bracket or brace is not closed, fix: write JSON such as "
            '["a", "b"] or {"KEY": "VALUE"}',
        ),
        (
            "SERVER__TLS__CERTIFICATE",
            "server.crt",
            "server.tls.key: is missing, fix: set PLUGIN_MIRROR_SERVER__TLS__KEY",
        ),
        ("SERVER__LISTEN", "", "server.listen: is empty, fix: unset it, or write a value"),
        ("SERVER__ANONYMOUS", " ", "server.anonymous: is empty, fix: unset it, or write a value"),
        ("SERVER__TLS", "", "server.tls: is empty, fix: unset it, or write a value"),
        ("SERVER", '{"tls": null}', "server.tls: is empty, fix: write a value, or remove it"),
        (
            "SERVER",
            "listen:127.0.0.1:5000",
            'server: is not a section (listen:127.0.0.1:5000), fix: write JSON such as {"KEY": "VALUE"}, or set '
            "PLUGIN_MIRROR_SERVER__KEY",
        ),
        (
            "SERVER",
            '{"trusted_proxies": "x"}',
            'server.trusted_proxies: is not a list (x), fix: write JSON such as ["a',
        ),
        (
            "SERVER__LISTEN",
            "0.0.0.0:5000",
            "server.listen: 0.0.0.0:5000 can be reached from other hosts, and server.anonymous does not say what "
            'anonymous callers may do, fix: write PLUGIN_MIRROR_SERVER__ANONYMOUS=["pull"] to let everybody install, '
            'or PLUGIN_MIRROR_SERVER__ANONYMOUS=["pull", "push"] to let everybody push as well',
        ),
        (
            "SERVER__ANONYMOUS",
            "approve",
            "server.anonymous: approve is never given to callers without a login, fix: give it to a user, by a rule in "
            "PLUGIN_MIRROR_ACCESS",
        ),
        (
            "MIRRORS",
            '[{"name": "a", "from": "hub/a", "to": "b"}]',
            "mirrors[a].from: no upstream is named 'hub' (hub/a), fix: add it in PLUGIN_MIRROR_UPSTREAMS",
        ),
        (
            "SERVER__TLS",
            '{"certificate": "a", "key": "b", "ca_key": "/srv/key"}',
            "server.tls.ca_key: there is no certificate for this key (/srv/key), fix: add ca",
        ),
        (
            "EVENTS",
            '[{"url": "http://x", "secret_file": "f"}]',
            'events[1].url: is not encrypted (http://x), fix: write https://, or add "plain_http": true if that is ',
        ),
        (
            "UPSTREAMS__HUB__URL",
            "http://hub.example",
            "upstreams.hub.url: is not encrypted (http://hub.example), fix: write https://, or add "
            "PLUGIN_MIRROR_UPSTREAMS__HUB__PLAIN_HTTP=true if that is intended",
        ),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, line: str) -> None:
    monkeypatch.setenv(f"PLUGIN_MIRROR_{variable}", value)
    with pytest.raises(ConfigurationFault) as caught:
        load()
    assert str(caught.value).splitlines()[0].startswith(f"PLUGIN_MIRROR_{variable}: {line}")
    assert "hunter2" not in str(caught.value)


def test_a_key_that_another_one_needs_is_a_variable_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUGIN_MIRROR_UPSTREAMS__HUB__URL", "https://hub.example")
    monkeypatch.setenv("PLUGIN_MIRROR_UPSTREAMS__HUB__TLS__KEY_FILE", "/srv/key")
    with pytest.raises(ConfigurationFault) as caught:
        load()
    assert str(caught.value) == (
        "PLUGIN_MIRROR_UPSTREAMS__HUB__TLS__KEY_FILE: upstreams.hub.tls.key_file: there is no certificate for this key "
        "(/srv/key), fix: add PLUGIN_MIRROR_UPSTREAMS__HUB__TLS__CERTIFICATE_FILE"
    )


#: Words about lines of a file. Nobody writes them into a variable.
WORDS_OF_FILES = re.compile(r"indent|lines below|items below|'- '|under \w+:|'\w+: |add the key$")


@pytest.mark.parametrize("place", SETTINGS, ids="__".join)
def test_no_variable_gets_a_fix_for_a_file(monkeypatch: pytest.MonkeyPatch, place: tuple[str, ...]) -> None:
    for value in ("hunter", "", "0.0.0.0:1", "-1", "http://x", "a:b", "[]", "{}", '["x"]', '{"x": "y"}'):
        monkeypatch.setenv("PLUGIN_MIRROR_" + "__".join(place).upper(), value)
        try:
            load()
        except ConfigurationFault as fault:
            for line in str(fault).splitlines():
                assert not WORDS_OF_FILES.search(line.partition(", fix: ")[2]), line


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        (
            "MIRRORS__0__CRON",
            "x",
            "PLUGIN_MIRROR_MIRRORS__0__CRON: mirrors.0.cron: a variable cannot change one item of a list, fix: write "
            "the whole list as JSON into PLUGIN_MIRROR_MIRRORS",
        ),
        ("MIRRORS", "[{", "PLUGIN_MIRROR_MIRRORS: mirrors: a bracket or brace is not closed, fix: write JSON such as "),
    ],
)
def test_a_variable_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, line: str) -> None:
    monkeypatch.setenv(f"PLUGIN_MIRROR_{variable}", value)
    with pytest.raises(ConfigurationFault) as caught:
        load()
    assert str(caught.value).startswith(line)


def test_each_mistake_names_where_its_value_is_from(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("config.yaml").write_text("server:\n  workers: 0\n  read_only: x\nmirrors: [{name: a, cron: 1}]\n")
    monkeypatch.setenv("PLUGIN_MIRROR_SERVER__WORKERS", "-1")
    monkeypatch.setenv("PLUGIN_MIRROR_MIRRORS", "[{name: b, from: a/b, to: c, cron: x}]")
    with pytest.raises(ConfigurationFault) as caught:
        load(Path("config.yaml"), {"server": {"listen": "5000"}})
    assert [line.partition(": ")[0] for line in str(caught.value).splitlines()] == [
        "command line",
        "PLUGIN_MIRROR_SERVER__WORKERS",
        "config.yaml:3",
        "PLUGIN_MIRROR_MIRRORS",
    ]


SECRET = "hunter2hunter2"
VALID = f"""
x-tags: &tags
  include: ["1.*", "/^v[0-9]/"]
server:
  listen: 0.0.0.0:5000
  anonymous: [pull]
  tls: {{certificate: server.crt, key: server.key}}
  trusted_proxies: [10.0.0.0/8]
storage:
  path: ~/plugins
  scrub: {{every: never}}
upstreams:
  hub:
    url: https://registry-1.docker.io
    proxy: http://anna:{SECRET}@proxy.example:3128
    credentials: {{username: anna, password_file: "${{HOME}}/password"}}
    limits: {{bandwidth: [{{bytes_per_second: 1MiB, from: 08:00, to: 18:00}}]}}
mirrors:
  - name: contiv
    from: hub/store/*
    to: contiv/*
    tags: *tags
    cron: 17 3 * * *
    pin: {{"contiv/v2plugin:1.0": sha256:{"0" * 64}}}
    keep: {{newest: 3, pulled_within: 90d}}
    derive:
      env: {{PASSWORD: {SECRET}, plugin_name: "{{name}}:{{tag}}"}}
      args: [--token, {SECRET}]
proxy: [{{from: hub/**, to: "**", platforms: [linux/arm64]}}]
groups: {{ops: [anna]}}
access: [{{users: ["group:ops"], repositories: ["**"], actions: [pull, push]}}]
quotas: [{{user: "*", bytes: 2GiB}}]
admission: {{rules: [{{name: ours, action: allow, signed: {{by: [ours.pub]}}}}], cooldown: 7d}}
platform_tags: [{{name: a/*, tag: latest, platforms: {{amd64: latest-amd64}}}}]
events: [{{url: https://hooks.example/, secret_file: secret}}]
"""
#: Words of pydantic and PyYAML, and of Python about objects.
OTHERS_WORDS = re.compile(
    r"Input should|[Ff]ield required|Extra inputs|should (be|have|match)|Value error|instance of|valid dictionary|"
    r"Settings|\btype=|expected <|found character|could not find|mapping values|Posix|<class|Traceback|codec|\bNone\b"
)

PLAIN = [
    None,
    "",
    "x",
    "no",
    "-1",
    "0",
    "1.10",
    "22:22",
    "[",
    "inf",
    "9" * 400,
    "é\u202e",
    [],
    ["x"],
    {},
    {"x": "y"},
    [[]],
]
SECRETS = [
    f"https://anna:{SECRET}@x/",
    f"https://x/?token={SECRET}",
    f"https://x/services/{SECRET}:",
    {"password": SECRET},
    {f"password={SECRET}": "x"},
]
SIGNS = ["", " ", "\t", ":", ": ", "- ", "#", "'", '"', "{", "]", "&a ", "*a", "!x ", "%", "\n"]
JUNK: Any = st.sampled_from([*PLAIN, *SECRETS])


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(below for part, one in items for below in places(one, (*place, part)))][not place :]


def check(content: str) -> None:
    """Check the words about a file, if it is refused."""
    Path("config.yaml").write_text(content)
    try:
        load(Path("config.yaml"))
    except ConfigurationFault as fault:
        for line in str(fault).splitlines():
            assert re.match(r"config\.yaml(:[1-9][0-9]*)?: .+, fix: .+", line)
            assert SECRET[:8] not in line
            assert not OTHERS_WORDS.search(line)
            assert line.isprintable()


@given(st.data())
def test_another_value_leads_to_no_traceback_no_foreign_word_and_no_secret(data: st.DataObject) -> None:
    value = yaml.load(VALID, yaml.BaseLoader)
    for _ in range(data.draw(st.integers(1, 2))):
        *above, last = data.draw(st.sampled_from(places(value)))
        section = value
        for part in above:
            section = section[part]
        match data.draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                section[last] = data.draw(JUNK)
            case "remove":
                del section[last]
            case "add" if isinstance(section, dict):
                section[data.draw(st.sampled_from(["password", "usres", "name", "x.y"]))] = data.draw(JUNK)
    check(yaml.safe_dump(value, allow_unicode=True))


@given(st.data())
def test_another_text_leads_to_no_traceback_no_foreign_word_and_no_secret(data: st.DataObject) -> None:
    lines = VALID.splitlines(keepends=True)
    number = data.draw(st.sampled_from([number for number, line in enumerate(lines) if SECRET not in line]))
    start = data.draw(st.integers(0, len(lines[number])))
    signs = data.draw(
        st.sampled_from(["", " ", "\t", ":", ": ", "- ", "#", "'", '"', "{", "]", "&a ", "*a", "!x ", "%", "\n"])
    )
    lines[number] = lines[number][:start] + signs + lines[number][start + data.draw(st.integers(0, 3)) :]
    check("".join(lines))


def below_each_section(section: type[BaseModel], found: dict[str, Any]) -> dict[str, Any]:
    """Return all fields of a section and of those below, by the names of section and field."""
    for name, field in section.model_fields.items():
        if found.setdefault(f"{section.__name__}.{name}", field) is field:
            key = field.alias or name
            kinds = [kind for place in ((key,), (key, 0), (key, "hub")) for kind in kinds_at(section, place)]
            for kind in filter(is_section, kinds):
                below_each_section(kind, found)
    return found


def test_every_number_has_a_largest_value() -> None:
    fields = below_each_section(Settings, {})
    numbers = [
        name
        for name, field in fields.items()
        if {int, float, ByteSize} & {field.annotation, *get_args(field.annotation)}
    ]
    assert len(numbers) > 30
    assert [name for name in numbers if not any(isinstance(bound, Le) for bound in fields[name].metadata)] == []


DURATIONS = [
    ("audit", "keep"),
    ("bundles", "max_age"),
    ("storage", "scrub", "every"),
    ("storage", "collection", "grace"),
    ("pull_through", "keep", "unused_for"),
    ("pull_through", "fresh_for"),
]


@given(
    st.sampled_from(DURATIONS), st.integers(1, 10**20 - 1) | st.integers(1, 36_501 * 86_400), st.sampled_from("smhd")
)
def test_a_duration_fits_into_the_calendar_or_is_too_long(place: tuple[str, ...], number: int, unit: str) -> None:
    value: Any = f"{number}{unit}"
    flags: Any = value
    for key in reversed(place):
        flags = {key: flags}
    days = number * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit] / 86400
    try:
        load(flags=flags)
    except ConfigurationFault as fault:
        told = f"is too long ({value}), fix: write 36500d or less" if days > 36500 else "is too short"
        assert told in str(fault)
    else:
        assert days <= 36500
        assert datetime(2026, 1, 1, tzinfo=UTC) + parse_duration(value) > datetime(2026, 1, 1, tzinfo=UTC)


#: Values at and beyond the ends of ranges.
OUTERMOST = ["0", "-1", "1s", "3153600001s", "99999d", "1e300", "9" * 30]
#: The place and the value of a mistake, and a fix that is a value, perhaps with a range that begins or ends there.
VALUE_TO_WRITE = re.compile(r"[^ ]+: ([^ ]+): .* \((.+)\), fix: write (?![A-Z]+:)([^ ,']+)(?: or (?:more|less))?")


def words_about(content: str) -> list[str]:
    """Return the lines about a file, none if it is valid."""
    Path("config.yaml").write_text(content)
    try:
        load(Path("config.yaml"))
    except ConfigurationFault as fault:
        return str(fault).splitlines()
    return []


def after_the_fix(content: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each line whose fix is a value, and what is said about the place with that value."""
    for line in words_about(content):
        match = VALUE_TO_WRITE.fullmatch(line)
        if match is not None and content.count(match[2]) == 1:
            again = words_about(content.replace(match[2], match[3]))
            yield line, [one for one in again if f": {match[1]}: " in one]


def test_the_value_of_a_fix_is_right_at_once() -> None:
    found = dict(pair for _, content, _ in MISTAKES for pair in after_the_fix(content))
    assert {line: again for line, again in found.items() if again} == {}
    assert len(found) > 5


@pytest.mark.parametrize("place", SETTINGS, ids=".".join)
def test_the_bound_of_a_fix_is_right_at_once(place: tuple[str, ...]) -> None:
    for value in OUTERMOST:
        content: Any = value
        for key in reversed(place):
            content = {key: content}
        found = dict(after_the_fix(yaml.safe_dump(content).replace("'", "")))
        assert {line: again for line, again in found.items() if again} == {}


def test_the_bound_of_a_fix_for_an_item_is_right_at_once() -> None:
    amounts = {"bytes": "2GiB", "bytes_per_second": "1MiB", "cooldown": "7d", "newest": "3", "pulled_within": "90d"}
    found: dict[str, list[str]] = {}
    for key, amount in amounts.items():
        for value in OUTERMOST:
            found |= after_the_fix(VALID.replace(f"{key}: {amount}", f"{key}: {value}"))
    assert {line: again for line, again in found.items() if again} == {}
    assert {line.split(": ")[1].rpartition(".")[2] for line in found} == set(amounts)


@given(st.data())
def test_a_key_without_a_value_is_refused_wherever_it_is(data: st.DataObject) -> None:
    value = section = yaml.load(VALID, yaml.BaseLoader)
    del value["x-tags"]
    *above, last = data.draw(st.sampled_from(places(value)))
    for part in above:
        section = section[part]
    section[last] = None
    Path("config.yaml").write_text(yaml.safe_dump(value))
    with pytest.raises(ConfigurationFault, match=": is empty, fix: "):
        load(Path("config.yaml"))


#: Secrets in places where people write them: a name with its password, a login without its host, a secret for its file.
MISPLACED = {
    ("groups", "ops"): ["{}:{}", "group:{}:{}"],
    ("access", 0, "users", 0): ["{}:{}", "group:{}:{}"],
    ("quotas", 0, "user"): ["{}:{}"],
    ("upstreams", "hub", "url"): ["https://{}:{}", "{}:{}", "https://{}:{}@"],
    ("upstreams", "hub", "proxy"): ["http://{}:{}", "{}:{}", "http://{}:{}@"],
    ("events", 0, "url"): ["https://x/{}/{}:", "https://{}:{}", "ftp://x/{}?{}", "http://x/{}/{}"],
    ("server", "listen"): ["{}:{}", "{}:{}@0.0.0.0:5000", "http://{}:{}"],
    ("server", "tls", "key"): ["~{}{}", "${{{}{}}}", '{{"{}": "{}"}}'],
    ("events", 0, "secret_file"): ["~{}{}", "${{{}{}}}", "{}{}\n"],
    ("upstreams", "hub", "credentials"): ["{}:{}"],
}


@given(st.data(), st.from_regex(r"\A[a-z]{1,8}\Z"), st.from_regex(r"\A[g-zG-Z]{4}[A-Za-z0-9$.=+-]{4,12}\Z"))
def test_a_secret_in_the_wrong_place_is_in_no_message(data: st.DataObject, name: str, secret: str) -> None:
    *above, last = data.draw(st.sampled_from(sorted(MISPLACED, key=str)))
    value = section = yaml.load(VALID, yaml.BaseLoader)
    for part in above:
        section = section[part]
    section[last] = data.draw(st.sampled_from(MISPLACED[*above, last])).format(name, secret)
    Path("config.yaml").write_text(yaml.safe_dump(value))
    try:
        load(Path("config.yaml"))
    except ConfigurationFault as fault:
        assert secret not in str(fault)


def test_the_configuration_of_these_tests_is_valid() -> None:
    Path("config.yaml").write_text(VALID)
    settings = load(Path("config.yaml"))
    assert settings.storage.path == Path.home() / "plugins"
    assert settings.mirrors[0].tags.include == ("1.*", "/^v[0-9]/")
