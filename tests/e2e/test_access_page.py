"""The way from nothing to TLS, users and a robot, with the commands of docs/ACCESS.md."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.harness import skopeo
from tests.harness.command import CompletedRun, run
from tests.harness.image import DOCKER, pack_image, write_folder
from tests.harness.mirror import PROGRAM
from tests.harness.ports import free_port
from tests.harness.process import Service
from tests.harness.readiness import tcp_accepts
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).parents[2] / "docs/ACCESS.md"
SECTION = re.compile(r"\n## From nothing to TLS.*?\n```sh\n(.*?)```\n", re.DOTALL)
SECRET = re.compile(r"pmt_\S+")


def test_the_commands_of_the_page_lead_to_a_server_that_people_and_a_robot_use(tmp_path: Path) -> None:
    require(skopeo.missing())
    found = SECTION.search(PAGE.read_text())
    assert found is not None
    port = free_port()
    script, serve = found[1].rstrip().rsplit("\n", 1)
    script = script.replace("/etc/plugin-mirror", str(tmp_path)).replace("/var/lib/plugin-mirror", f"{tmp_path}/data")
    script = script.replace("0.0.0.0:5000", f"127.0.0.1:{port}")
    # A person types the passwords.
    script = re.sub(r"(plugin-mirror user add (\w+))", r"echo 'password of \2' | \1 --password-stdin", script)
    environment = os.environ | {"PATH": f"{Path(PROGRAM).parent}:{os.environ['PATH']}"}
    (tmp_path / "data").mkdir()

    done = run(["sh", "-ec", script], environment=environment)

    secret = SECRET.search(done.stdout)
    assert secret is not None
    assert serve == "plugin-mirror serve"
    argv, host = [PROGRAM, "serve", "--config", str(tmp_path / "config.yaml")], f"127.0.0.1:{port}"
    with Service(argv, log=tmp_path / "log", ready=tcp_accepts("127.0.0.1", port)):
        told = run([PROGRAM, "tls", "host-setup", host, "--config", str(tmp_path / "config.yaml")])
        run(["sh", "-e"], input_text=told.stdout, environment=environment | {"CERTS_D": str(tmp_path / "certs.d")})
        trusted = str(tmp_path / "certs.d" / host)
        source = write_folder(pack_image({"etc/greeting": b"hello"}, DOCKER), tmp_path / "image")

        def push(name: str, login: str | None) -> CompletedRun:
            options = ["--dest-tls-verify=true", "--dest-cert-dir", trusted]
            options += ["--dest-no-creds"] if login is None else ["--dest-creds", login]
            return skopeo.copy(source, f"docker://{host}/{name}", *options, check=False)

        robot = f"ci:{secret[0]}"
        assert push("acme/driver:1.0", robot).exit_code == 0
        assert push("other/driver:1.0", robot).exit_code != 0
        assert push("other/driver:1.0", "anna:password of anna").exit_code == 0
        assert push("other/driver:1.0", "ben:password of ben").exit_code == 0
        assert push("other/driver:1.0", "ben:password of anna").exit_code != 0
        assert push("acme/driver:1.0", None).exit_code != 0
        pulled = skopeo.inspect(
            f"docker://{host}/acme/driver:1.0", "--tls-verify=true", "--cert-dir", trusted, "--no-creds", check=False
        )
        assert pulled.exit_code == 0, pulled.stderr
