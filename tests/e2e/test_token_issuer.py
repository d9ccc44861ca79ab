"""A server whose tokens another server issues, with real engines and skopeo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import plugins, skopeo
from tests.harness.command import CompletedRun
from tests.harness.engine import Engine
from tests.harness.image import DOCKER, pack_image, write_folder
from tests.harness.mirror import Mirror
from tests.harness.readiness import wait_until
from tests.harness.requirement import require
from tests.harness.token_server import ISSUER, SERVICE, TokenServer

pytestmark = pytest.mark.e2e

PASSWORD = "the pass:word of anna"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServer]:
    """An issuer that lets anna do everything, and ben only pull."""
    users, folder = {"anna": PASSWORD, "ben": PASSWORD}, tmp_path_factory.mktemp("issuer")
    with TokenServer(folder, users, readers=frozenset({"ben"})) as server:
        yield server


@pytest.fixture(scope="module")
def mirror(issuer: TokenServer) -> Iterator[Mirror]:
    """A server that accepts the tokens of the issuer, and nothing else."""
    keys = issuer.folder / "keys.json"
    keys.write_bytes(issuer.key_set)
    section = {"realm": issuer.realm, "service": SERVICE, "issuer": ISSUER, "jwks": str(keys)}
    with Mirror(workers=2, sections={"server": {"anonymous": [], "token_issuer": section}}) as started:
        yield started


def login(engine: Engine, mirror: Mirror, user: str, password: str = PASSWORD) -> CompletedRun:
    arguments = ("login", "--username", user, "--password-stdin", mirror.host)
    return engine.docker(*arguments, input_text=password, check=False)


def refusals(mirror: Mirror) -> set[str]:
    return {line["user"] for line in mirror.log if line.get("status") == 401 and "user" in line}


def test_the_issuer_says_that_a_password_is_wrong(engine: Engine, mirror: Mirror) -> None:
    refused = login(engine, mirror, "anna", "wrong word")
    assert refused.exit_code != 0
    assert "incorrect username or password" in refused.stderr


def test_who_the_issuer_lets_push_pushes_and_others_install(engine: Engine, mirror: Mirror, tmp_path: Path) -> None:
    require(plugins.missing())
    reference = f"{mirror.host}/acme/volumes:{engine.version().partition('+')[0]}"
    engine.docker("plugin", "create", reference, str(plugins.volume_plugin(tmp_path / "plugin")))
    assert engine.docker("plugin", "push", reference, check=False).exit_code != 0
    assert "Login Succeeded" in login(engine, mirror, "ben").stdout
    refused = engine.docker("plugin", "push", reference, check=False)
    assert refused.exit_code != 0
    # An engine without TLS tells the failure of https:// instead of this answer.
    wait_until(lambda: "ben" in refusals(mirror), "the refusal, in the log, with the name in the token")

    assert "Login Succeeded" in login(engine, mirror, "anna").stdout
    engine.docker("plugin", "push", reference)
    engine.docker("plugin", "rm", reference)
    engine.docker("logout", mirror.host)
    assert engine.docker("plugin", "install", "--alias", "volumes", reference, check=False).exit_code != 0

    assert "Login Succeeded" in login(engine, mirror, "ben").stdout
    engine.docker("plugin", "install", "--alias", "volumes", reference)
    assert engine.inspect_plugin("volumes")["Enabled"] is True
    engine.docker("plugin", "disable", "volumes")
    engine.docker("plugin", "rm", "volumes")
    engine.docker("logout", mirror.host)


def test_skopeo_pushes_and_pulls_with_credentials_of_the_issuer(mirror: Mirror, tmp_path: Path) -> None:
    require(skopeo.missing())
    source = write_folder(pack_image({"etc/greeting": b"hello"}, DOCKER), tmp_path / "image")
    target = f"docker://{mirror.host}/images/greeting:1"
    for options, reason in (
        (("--dest-no-creds",), "requested access to the resource is denied"),
        (("--dest-creds", f"ben:{PASSWORD}"), "the token does not allow push of images/greeting"),
        (("--dest-creds", "anna:wrong"), "incorrect username or password"),
    ):
        refused = skopeo.copy(source, target, *options, check=False)
        assert refused.exit_code != 0
        assert reason in refused.stderr
    skopeo.copy(source, target, "--dest-creds", f"anna:{PASSWORD}")
    assert skopeo.inspect(target, "--no-creds", check=False).exit_code != 0
    assert skopeo.inspect(target, "--creds", f"ben:{PASSWORD}").exit_code == 0
