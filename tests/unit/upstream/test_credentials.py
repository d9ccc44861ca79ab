from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from mirror.oci.errors import ConfigurationFault
from mirror.upstream.auth.credentials import Credentials, HelperQuestion
from mirror.upstream.auth.login_files import FileLogin


def entry(pair: str) -> dict[str, str]:
    return {"auth": b64encode(pair.encode()).decode()}


def written(folder: Path, config: Any) -> Path:
    path = folder / "config.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return path


def test_the_first_line_of_a_password_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("s3cret \nsecond line\n")
    assert Credentials.from_password_file("jimmy", path) == Credentials("jimmy", "s3cret ")


@pytest.mark.parametrize(("username", "content"), [("jimmy", ""), ("jimmy", "\nx"), ("", "x"), ("a:b", "x")])
def test_a_login_that_cannot_be_one(tmp_path: Path, username: str, content: str) -> None:
    path = tmp_path / "password"
    path.write_text(content)
    with pytest.raises(ConfigurationFault):
        Credentials.from_password_file(username, path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match="nowhere cannot be read"):
        Credentials.from_password_file("jimmy", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("registry.example:5000", "registry.example:5000"),
        ("https://registry.example", "registry.example"),
        ("https://registry.example/v2/", "registry.example"),
        ("https://index.docker.io/v1/", "registry-1.docker.io"),
        ("docker.io", "registry-1.docker.io"),
    ],
)
def test_docker_logins_by_host(tmp_path: Path, key: str, host: str) -> None:
    path = written(tmp_path, {"auths": {"other.example": entry("a:b"), key: entry("jimmy:pass:word")}})
    assert Credentials.from_docker_config(path, host) == Credentials("jimmy", "pass:word")


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("no json", "fix: name docker's config.json"),
        ("[]", "fix: name docker's config.json"),
        ({}, "contains no login for hub.example; fix: run 'docker login hub.example'"),
        ({"auths": []}, "contains no login"),
        ({"auths": {"hub.example": {}}}, "contains no login"),
        ({"auths": {"hub.example": 1}}, "contains no login"),
        ({"credsStore": "absent"}, "docker-credential-absent, .* is not in PATH"),
        ({"credsStore": "../evil"}, "not the name of a credential helper"),
        ({"credHelpers": {"hub.example": 7}}, "not the name of a credential helper"),
        ({"auths": {"hub.example": {"auth": "%%%"}}}, "not base64"),
        ({"auths": {"hub.example": entry("nocolon")}}, "not base64 of NAME:PASSWORD"),
        ({"auths": {"hub.example.evil.example": entry("a:b")}}, "contains no login"),
    ],
)
def test_docker_configs_without_a_login(tmp_path: Path, config: Any, text: str) -> None:
    with pytest.raises(ConfigurationFault, match=text):
        FileLogin.docker(written(tmp_path, config), "hub.example")


@pytest.mark.parametrize(
    ("registry", "user"),
    [
        ("nexus.example/repository/docker", "docker"),
        ("nexus.example/repository/other", "repository"),
        ("nexus.example/else", "host"),
        ("nexus.example", "host"),
    ],
)
def test_the_login_for_a_part_of_the_path_takes_precedence(tmp_path: Path, registry: str, user: str) -> None:
    auths = {
        "https://nexus.example/": entry("host:x"),
        "nexus.example/repository": entry("repository:x"),
        "nexus.example/repository/docker": entry("docker:x"),
        "nexus.example/repository/dock": entry("dock:x"),
    }
    assert Credentials.from_docker_config(written(tmp_path, {"auths": auths}), registry) == Credentials(user, "x")


def test_a_helper_is_asked_for_the_host(tmp_path: Path) -> None:
    path = written(tmp_path, {"credHelpers": {"nexus.example": "pass"}})
    assert Credentials.from_docker_config(path, "nexus.example/repository/docker") == HelperQuestion(
        "pass", "nexus.example"
    )
