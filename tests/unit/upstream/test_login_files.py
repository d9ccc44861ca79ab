"""Logins in files that change, and credential helpers, which are separate programs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
from base64 import b64encode
from pathlib import Path

import pytest

from mirror.oci.errors import ConfigurationFault, UpstreamRefused
from mirror.upstream.auth.credential_helper import ask
from mirror.upstream.auth.credentials import Credentials, HelperQuestion
from mirror.upstream.auth.login_files import FileLogin
from mirror.upstream.registry import UpstreamRegistry
from tests.support.clocks import HandClock
from tests.support.scripted_server import Reply, ScriptedServer
from tests.support.waiting import until
from tests.unit.upstream.conftest import QUICK
from tests.unit.upstream.content import REPOSITORY, TAG, TAG_PATH

QUESTION = HelperQuestion("test", "hub.example")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def helper(folder: Path, script: str, name: str = "test") -> Path:
    path = folder / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def answer(username: str, secret: str) -> str:
    return f"echo '{json.dumps({'ServerURL': 'x', 'Username': username, 'Secret': secret})}'"


async def test_a_password_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    clock = HandClock()
    path = tmp_path / "password"
    path.write_text("first\n")
    login = FileLogin.password("jimmy", path, clock)
    assert await login.current() == Credentials("jimmy", "first")
    path.write_text("second one\n")
    assert await login.current() == Credentials("jimmy", "first")  # the file is not checked at every request
    clock.advance(seconds=3)
    assert await login.current() == Credentials("jimmy", "second one")
    path.unlink()
    clock.advance(seconds=3)
    assert await login.current() == Credentials("jimmy", "second one")
    path.write_text("third\n")
    clock.advance(seconds=3)
    assert await login.current() == Credentials("jimmy", "third")


def test_a_file_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match="cannot be read"):
        FileLogin.password("jimmy", tmp_path / "absent")


@pytest.mark.parametrize(
    ("entry", "login"),
    [
        ({"auth": b64encode(b"jimmy:s3cret").decode()}, Credentials("jimmy", "s3cret")),
        ({"identitytoken": "refresh-me"}, Credentials("", "", "refresh-me")),
        (
            {"auth": b64encode(b"jimmy:").decode(), "identitytoken": "refresh-me"},
            Credentials("jimmy", "", "refresh-me"),
        ),
        (
            {"auth": b64encode(b"<token>:").decode(), "identitytoken": "refresh-me"},
            Credentials("", "", "refresh-me"),
        ),
    ],
)
async def test_docker_logins(tmp_path: Path, entry: dict[str, str], login: Credentials) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"auths": {"hub.example": entry}}))
    assert await FileLogin.docker(path, "hub.example").current() == login


@pytest.mark.parametrize(
    ("config", "host", "asked"),
    [
        ({"credsStore": "test"}, "hub.example", "hub.example"),
        ({"credsStore": "other", "credHelpers": {"hub.example": "test"}}, "hub.example", "hub.example"),
        ({"credsStore": "test", "credHelpers": {"x.example": "other"}}, "hub.example", "hub.example"),
        ({"credsStore": "test"}, "registry-1.docker.io", "https://index.docker.io/v1/"),
        ({"credHelpers": {"docker.io": "test"}}, "registry-1.docker.io", "https://index.docker.io/v1/"),
    ],
)
async def test_helpers_that_docker_config_names(
    tmp_path: Path, programs: Path, config: dict[str, object], host: str, asked: str
) -> None:
    helper(programs, f'read server; echo "$1 $server" >> {tmp_path}/log; {answer("jimmy", "s3cret")}')
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    clock = HandClock()
    login = FileLogin.docker(path, host, clock)
    for _ in range(2):
        assert await asyncio.gather(login.current(), login.current()) == [Credentials("jimmy", "s3cret")] * 2
    assert (tmp_path / "log").read_text() == f"get {asked}\n"
    clock.advance(seconds=61)
    await login.current()
    assert len((tmp_path / "log").read_text().splitlines()) == 2


async def test_a_helper_may_give_an_identity_token(programs: Path) -> None:
    helper(programs, answer("<token>", "refresh-me"))
    assert await ask(QUESTION) == Credentials("", "", "refresh-me")


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("echo 'credentials not found in native keychain'; exit 1", "credentials not found in native keychain"),
        ("exit 3", "ended with 3"),
        ("kill -9 $$", "ended with -9"),
        ("echo s3cret", "not a JSON object"),
        ("echo '{}'", "lacks Username or Secret"),
        ('echo \'{"Username": 1, "Secret": "s3cret"}\'', "lacks Username or Secret"),
        ("exec yes", "more than 65536 bytes"),
        ("exec sleep 60", "has not answered within 0.5 s"),
        ("sleep 60 & exec cat /dev/zero", "more than 65536 bytes"),
        ("trap '' TERM; while :; do sleep 1; done", "has not answered within 0.5 s"),
    ],
)
async def test_helpers_that_do_not_help(programs: Path, script: str, text: str) -> None:
    helper(programs, script)
    # Only helpers that never answer have a short time. A loaded machine may need longer to start any program.
    timeout_seconds = 0.5 if "within 0.5 s" in text else 30
    with pytest.raises(ConfigurationFault, match=text) as raised:
        await ask(QUESTION, timeout_seconds=timeout_seconds)
    assert "s3cret" not in str(raised.value)


async def test_a_helper_is_left_although_its_output_stays_open(programs: Path, tmp_path: Path) -> None:
    kept_open = tmp_path / "pid"
    daemon = f"setsid sh -c 'echo $$ > {kept_open}; exec sleep 600' & while ! [ -s {kept_open} ]; do sleep 0.01; done"
    helper(programs, f"{daemon}; exec cat /dev/zero")
    try:
        with pytest.raises(ConfigurationFault, match="more than 65536 bytes"):
            await ask(QUESTION)
    finally:
        os.kill(int(kept_open.read_text()), signal.SIGKILL)


async def test_a_helper_that_cannot_be_run(programs: Path) -> None:
    helper(programs, "").write_bytes(b"\x00\x01 no program")
    with pytest.raises(ConfigurationFault, match="cannot be run"):
        await ask(QUESTION)


async def test_a_helper_ends_with_whoever_waits_for_it(programs: Path, tmp_path: Path) -> None:
    helper(programs, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    task = asyncio.ensure_future(ask(QUESTION))
    await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_a_login_that_cannot_be_had_is_told_as_the_upstreams_refusal(
    server: ScriptedServer, programs: Path, tmp_path: Path
) -> None:
    helper(programs, "echo 'the keyring is locked'; exit 1")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"credsStore": "test"}))
    host = f"127.0.0.1:{server.port}"
    server.on(f"GET {TAG_PATH}", Reply(401, headers={"WWW-Authenticate": 'Basic realm="x"'}))
    async with UpstreamRegistry.open(
        name="hub", url=server.url, plain_http=True, login=FileLogin.docker(config, host), policy=QUICK
    ) as upstream:
        with pytest.raises(UpstreamRefused, match=r"hub: no login: .*the keyring is locked"):
            await upstream.get_manifest(REPOSITORY, TAG)
