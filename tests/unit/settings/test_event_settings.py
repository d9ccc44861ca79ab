"""Endpoints in the configuration: each mistake is one clear line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.app.configuration.configuration_state import ConfigurationHolder
from mirror.cli.command_line import run
from mirror.oci.errors import ConfigurationFault
from mirror.settings import load

SECRET = "whsec_MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="
GOOD = {"url": "https://hooks.example/in", "secret_file": "/etc/hooks.secret"}


def told(capsys: pytest.CaptureFixture[str], tmp_path: Path, **sections: Any) -> str:
    """Return the one line of ``config check`` about a wrong configuration."""
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(sections))
    assert run(["config", "check", "--config", str(file)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"url": "hooks.example"}, "is no URL of a server"),
        ({"url": "ftp://hooks.example/"}, "is no URL of a server"),
        ({"url": "https:///in"}, "is no URL of a server"),
        ({"url": "https://hooks.example:99999/"}, "is no URL of a server"),
        ({"url": "https://a%2Fb/"}, "is no URL of a server"),
        ({"url": "https://hooks.example/a b"}, "a space or a control character"),
        ({"url": "https://hooks.example/\x1b[31m"}, "a space or a control character"),
        ({"url": "https://anna:hunter2@hooks.example/"}, "has a login"),
        ({"url": "https://hooks.example/#there"}, "has a fragment"),
        ({"url": "http://hooks.example/"}, "fix: write https://, or add 'plain_http: true'"),
        ({"url": "HTTP://hooks.example/"}, "is not encrypted"),
        ({"url": f"https://{'a' * 60}.example/"}, "fix: give the endpoint a name"),
        ({"on": ["tag.move"]}, "is no kind of change"),
        ({"on": ["ta"]}, "is no kind of change"),
        ({"on": [""]}, "is no kind of change"),
        ({"name": "../x"}, "name"),
        ({"secret": "hunter2"}, "secret"),
        ({"secret_file": None}, "secret_file"),
    ],
)
def test_a_wrong_endpoint(capsys: pytest.CaptureFixture[str], tmp_path: Path, wrong: dict[str, Any], line: str) -> None:
    found = told(capsys, tmp_path, events=[GOOD | wrong])
    assert line in found
    assert found.isprintable()
    assert "hunter2" not in found


def test_two_endpoints_of_one_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = told(capsys, tmp_path, events=[GOOD, GOOD | {"url": "https://HOOKS.example/other"}])
    assert "another endpoint is called 'hooks.example' too, fix: give each a name" in found


@pytest.mark.parametrize(
    "wrong", [{"rotate": "0"}, {"rotate": "many"}, {"keep": "400"}, {"keep": "-1d"}, {"paths": "/x"}, {"enabled": "?"}]
)
def test_a_wrong_audit(capsys: pytest.CaptureFixture[str], tmp_path: Path, wrong: dict[str, Any]) -> None:
    assert next(iter(wrong)) in told(capsys, tmp_path, audit=wrong)


def test_a_bad_secret_and_a_missing_ca_are_warnings_without_the_secret(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bad").write_text("hunter2")
    (tmp_path / "good").write_text(SECRET)
    file = tmp_path / "config.yaml"
    bad = GOOD | {"name": "bad", "secret_file": str(tmp_path / "bad")}
    no_ca = GOOD | {"name": "no-ca", "secret_file": str(tmp_path / "good"), "ca": str(tmp_path / "ca.crt")}
    file.write_text(json.dumps({"events": [bad, no_ca]}))
    assert run(["config", "check", "--config", str(file)]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "gets no events" in line]
    assert len(lines) == 2
    assert lines[0].startswith(f"warning: {file}:1: events[bad].secret_file: {tmp_path}/bad")
    assert "so bad gets no events, fix: " in lines[0]
    assert lines[1].startswith(f"warning: {file}:1: events[no-ca].ca: {tmp_path}/ca.crt cannot be used: No such file")
    assert "hunter2" not in "".join(lines)


def test_the_schema_has_the_keys_and_what_is_shown_has_no_secret(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert {"audit", "events"} <= set(schema["properties"])
    assert {"url", "secret_file", "on", "name", "plain_http", "ca"} <= set(
        schema["$defs"]["EventSettings"]["properties"]
    )
    assert {"enabled", "path", "rotate", "keep"} <= set(schema["$defs"]["AuditSettings"]["properties"])
    secret, file = tmp_path / "secret", tmp_path / "config.yaml"
    secret.write_text(SECRET)
    file.write_text(json.dumps({"events": [GOOD | {"secret_file": str(secret)}], "audit": {"keep": "400d"}}))
    assert run(["config", "show", "--config", str(file)]) == 0
    shown = capsys.readouterr().out
    assert str(secret) in shown
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example/services/T/B/hunter2", "https://hooks.example/(hidden)"),
        ("https://hooks.example:8443/?token=hunter2", "https://hooks.example:8443/(hidden)"),
        ("https://hooks.example?hunter2/", "https://hooks.example?(hidden)"),
        ("https://hooks.example/", "https://hooks.example/"),
        ("https://hooks.example", "https://hooks.example"),
    ],
)
def test_path_and_query_of_an_endpoint_are_not_shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str, shown: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps({"events": [GOOD | {"url": url}]}))
    assert load(file).events[0].url == url
    assert ConfigurationHolder.of(load(file)).state.to_json()["settings"]["events"][0]["url"] == shown  # type: ignore[index]
    for command in (["show"], ["show", "--json"], ["check"]):
        assert run(["config", *command, "--config", str(file)]) == 0
        output = capsys.readouterr()
        assert (shown in output.out) == (command[0] == "show")
        assert "hunter2" not in output.out + output.err


@given(st.text(max_size=80))
def test_no_url_breaks_the_configuration(text: str) -> None:
    try:
        settings = load(None, {"events": [GOOD | {"url": f"https://{text}"}]})
    except ConfigurationFault as fault:
        assert str(fault)
    else:
        (endpoint,) = settings.events
        assert endpoint.url.isprintable()
        assert "/" not in endpoint.shown_name
