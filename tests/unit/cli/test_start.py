"""Modules that a command imports at its start. Each call is a new process, and imports may take longer than work."""

import subprocess
import sys

import pytest

SERVING = {"aiohttp.web", "prometheus_client", "mirror.server.http_application"}
NOT_ALWAYS = {"alembic", "aiohttp_socks", "rich.progress", "sqlalchemy.orm"}
UPSTREAM = {"aiohttp", "stamina"}


@pytest.mark.parametrize(
    ("module", "left_out"),
    [
        ("mirror.cli.command_line", {"aiohttp", "sqlalchemy"} | SERVING | NOT_ALWAYS | UPSTREAM),
        ("mirror.app.services", SERVING | NOT_ALWAYS | UPSTREAM),
        ("mirror.app.mirroring", SERVING | NOT_ALWAYS),
    ],
)
def test_libraries_that_a_command_does_not_need_are_not_loaded(module, left_out):
    script = f"import mirror.cli.command_line, {module}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert left_out & set(done.stdout.split()) == set()
