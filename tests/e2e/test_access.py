"""Logins with several clients: engines, skopeo, and our own client towards an upstream."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.harness import plugins, skopeo
from tests.harness.command import CompletedRun, run
from tests.harness.engine import Engine
from tests.harness.image import DOCKER, pack_image, write_folder
from tests.harness.mirror import PROGRAM, Mirror, plugin_mirror
from tests.harness.readiness import wait_until
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

PASSWORD = "the pass:word of anna"
RULES = [{"users": ["anna"], "repositories": ["acme/**", "images/*"], "actions": ["pull", "push"]}]


def add_user(mirror: Mirror, name: str, password: str = PASSWORD) -> None:
    run([PROGRAM, "user", "add", name, "--password-stdin", "--config", str(mirror.config)], input_text=f"{password}\n")


def new_token(mirror: Mirror, user: str) -> str:
    return mirror.command("token", "create", user).stdout.strip()


@pytest.fixture(scope="module")
def guarded() -> Iterator[Mirror]:
    """A server where anonymous clients may pull, and the user anna may push to `acme/**` and `images/*`."""
    with Mirror(workers=2, sections={"server": {"anonymous": ["pull"]}, "access": RULES}) as mirror:
        add_user(mirror, "anna")
        yield mirror


@pytest.fixture(scope="module")
def private() -> Iterator[Mirror]:
    """A server that requires a login for everything."""
    with Mirror(sections={"server": {"anonymous": []}, "access": RULES}) as mirror:
        add_user(mirror, "anna")
        yield mirror


def login(engine: Engine, mirror: Mirror, password: str, user: str = "anna") -> CompletedRun:
    arguments = ("login", "--username", user, "--password-stdin", mirror.host)
    return engine.docker(*arguments, input_text=password, check=False)


@pytest.mark.parametrize(("user", "password"), [("anna", "wrong word"), ("nobody", PASSWORD), ("anna", "pmt_guessed")])
def test_a_wrong_login_is_said_at_once(engine: Engine, guarded: Mirror, user: str, password: str) -> None:
    refused = login(engine, guarded, password, user)
    assert refused.exit_code != 0
    assert "user name or password is wrong" in refused.stderr


def test_anybody_installs_and_a_user_pushes(engine: Engine, guarded: Mirror, tmp_path: Path) -> None:
    require(plugins.missing())
    reference = f"{guarded.host}/acme/volumes:{engine.version().partition('+')[0]}"
    engine.docker("plugin", "create", reference, str(plugins.volume_plugin(tmp_path / "plugin")))
    refused = engine.docker("plugin", "push", reference, check=False)
    assert refused.exit_code != 0

    assert "Login Succeeded" in login(engine, guarded, PASSWORD).stdout
    engine.docker("plugin", "push", reference)
    engine.docker("logout", guarded.host)
    engine.docker("plugin", "rm", reference)

    engine.docker("plugin", "install", "--alias", "volumes", reference)
    assert engine.inspect_plugin("volumes")["Enabled"] is True
    engine.docker("plugin", "disable", "volumes")
    engine.docker("plugin", "rm", "volumes")


def test_a_user_pushes_only_where_a_rule_lets_them(engine: Engine, guarded: Mirror, tmp_path: Path) -> None:
    reference = f"{guarded.host}/other/volumes:1"
    engine.docker("plugin", "create", reference, str(plugins.volume_plugin(tmp_path / "plugin")))
    assert login(engine, guarded, PASSWORD).exit_code == 0
    refused = engine.docker("plugin", "push", reference, check=False)
    engine.docker("logout", guarded.host)
    engine.docker("plugin", "rm", reference)
    assert refused.exit_code != 0
    wait_until(
        lambda: any(line.get("user") == "anna" and line.get("status") == 403 for line in guarded.log),
        "the refusal, in the log, with the user's name",
    )


def test_a_private_site_wants_a_login_for_everything(engine: Engine, private: Mirror, tmp_path: Path) -> None:
    reference = f"{private.host}/acme/volumes:1"
    engine.docker("plugin", "create", reference, str(plugins.volume_plugin(tmp_path / "plugin")))
    token = new_token(private, "anna")
    assert "Login Succeeded" in login(engine, private, token).stdout
    engine.docker("plugin", "push", reference)
    engine.docker("plugin", "rm", reference)
    engine.docker("plugin", "install", reference)
    engine.docker("plugin", "disable", reference)
    engine.docker("plugin", "rm", reference)

    engine.docker("logout", private.host)
    assert engine.docker("plugin", "install", reference, check=False).exit_code != 0
    assert token not in (private.folder / "mirror.log").read_text()


def test_images_are_pushed_and_pulled_with_a_login(engine: Engine, private: Mirror) -> None:
    reference = f"{private.host}/images/tiny:1"
    engine.docker("import", "-", reference, input_text="\0" * 1024)
    assert engine.docker("push", reference, check=False).exit_code != 0
    assert login(engine, private, PASSWORD).exit_code == 0
    engine.docker("push", reference)
    engine.docker("image", "rm", reference)
    engine.docker("pull", reference)
    engine.docker("logout", private.host)
    engine.docker("image", "rm", reference)


def test_skopeo_brings_its_credentials(private: Mirror, tmp_path: Path) -> None:
    require(skopeo.missing())
    source = write_folder(pack_image({"etc/greeting": b"hello"}, DOCKER), tmp_path / "image")
    target, creds = f"docker://{private.host}/images/greeting:1", f"anna:{new_token(private, 'anna')}"
    assert skopeo.copy(source, target, check=False).exit_code != 0
    skopeo.copy(source, target, "--dest-creds", creds)
    assert skopeo.inspect(target, check=False).exit_code != 0
    assert skopeo.inspect(target, "--creds", creds).exit_code == 0


def test_a_mirror_logs_in_at_a_mirror(private: Mirror, tmp_path: Path) -> None:
    require(skopeo.missing())
    source = write_folder(pack_image({"etc/greeting": b"hello"}, DOCKER), tmp_path / "image")
    skopeo.copy(source, f"docker://{private.host}/images/copied:1", "--dest-creds", f"anna:{PASSWORD}")
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "password").chmod(0o600)

    def sync(**credentials: str) -> CompletedRun:
        upstream = {"url": private.url, "plain_http": True} | ({"credentials": credentials} if credentials else {})
        rule = {"name": "copied", "from": "first/images/copied", "to": "second/copied"}
        sections = {"upstreams": {"first": upstream}, "mirrors": [rule], "storage": {"path": str(tmp_path / "data")}}
        (tmp_path / "config.yaml").write_text(json.dumps(sections))
        return plugin_mirror("sync", "--config", str(tmp_path / "config.yaml"), check=False)

    assert sync().exit_code == 3
    assert sync(username="anna", password_file=str(tmp_path / "password")).exit_code == 0
    assert sync(username="anna", password_file=str(tmp_path / "password")).exit_code == 0


def test_a_mirror_of_docker_hub_is_not_given_its_password(binaries: Path | None, private: Mirror) -> None:
    login_at_hub = {"auths": {"https://index.docker.io/v1/": {"auth": b64encode(b"hubuser:hubsecret").decode()}}}
    with Engine(binaries=binaries, daemon_json={"registry-mirrors": [private.url]}) as engine:
        (engine.folder / "client/config.json").write_text(json.dumps(login_at_hub))
        # The log may receive lines of earlier requests later, so the lines are selected by the time of the response.
        begun = datetime.now(UTC)
        assert engine.docker("plugin", "install", "--disable", "vieux/sshfs:1", check=False).exit_code != 0

    def asked() -> list[tuple[str, int]]:
        lines = [line for line in private.log if line.get("event") == "request"]
        return [(line["path"], line["status"]) for line in lines if datetime.fromisoformat(line["timestamp"]) > begun]

    wait_until(lambda: bool(asked()), "the engine's request")
    assert {path for path, _ in asked()} == {"/v2/vieux/sshfs/manifests/1"}
    assert {status for _, status in asked()} == {404}
