"""Modules that a command imports. Each call is a new process, and imports may take longer than the work."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from mirror.store.registry import Store
from tests.support.plugins import NAME, TAG, put_plugin

SERVING = {"aiohttp.web", "prometheus_client", "mirror.server.http_application"}
NOT_ALWAYS = {"alembic", "aiohttp_socks", "rich", "sqlalchemy.orm"}
UPSTREAM = {"aiohttp", "stamina"}
STORE = {"sqlalchemy", "asyncio", "structlog", "cryptography", "bcrypt"} | SERVING | NOT_ALWAYS | UPSTREAM
SETTINGS = {"pydantic", "yaml", "mirror.settings"} | STORE
PROGRAM = {"mirror.oci"} | SETTINGS
#: What a valid configuration does not need: the words about mistakes, and without a file the reader of YAML.
MISTAKES = {"mirror.settings.loading.mistakes", "mirror.plugin.config.secret_values"}

SCRIPT = """
import sys
from mirror.cli import command_line
code = command_line.run(sys.argv[1:])
print(*sys.modules, file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start") / "data"

    async def fill() -> None:
        async with Store.open(folder) as store:
            await put_plugin(store)

    asyncio.run(fill())
    return folder


@pytest.mark.parametrize(
    ("command", "most", "left_out"),
    [
        ("--help", 170, PROGRAM),
        ("bundle --help", 170, PROGRAM),
        ("version", 175, PROGRAM),
        ("completion bash", 170, PROGRAM),
        ("serve --help", 200, SETTINGS),
        ("ls --help", 200, SETTINGS),
        ("sync --help", 205, SETTINGS),
        ("bundle export --help", 200, SETTINGS),
        ("config check", 385, {"yaml"} | MISTAKES | STORE),
        ("ls", 400, {"yaml", "mirror.app"} | MISTAKES | STORE),
        (f"ls {NAME}", 400, {"yaml", "mirror.app"} | MISTAKES | STORE),
        (
            f"inspect {NAME}:{TAG}",
            800,
            {"yaml", "cryptography", "bcrypt", "mirror.bundle"} | SERVING | NOT_ALWAYS | UPSTREAM,
        ),
    ],
)
def test_a_command_imports_what_it_needs(command: str, most: int, left_out: set[str], data: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *command.split()],
        cwd=data.parent,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    imported = done.stderr.splitlines()[-1].split()
    assert left_out & set(imported) == set()
    assert len(imported) <= most


def test_settings_and_options_run_no_plugins_of_pydantic(tmp_path: Path) -> None:
    (tmp_path / "foreign.py").write_text("raise SystemExit('a plugin of pydantic was imported')")
    (tmp_path / "foreign-1.dist-info").mkdir()
    (tmp_path / "foreign-1.dist-info" / "METADATA").write_text("Name: foreign\nVersion: 1\n")
    (tmp_path / "foreign-1.dist-info" / "entry_points.txt").write_text("[pydantic]\nforeign = foreign:plugin\n")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.append({str(tmp_path)!r}); {SCRIPT}", "config", "show"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("module", "left_out"),
    [
        ("mirror.app.services", SERVING | NOT_ALWAYS | UPSTREAM),
        ("mirror.app.mirroring", SERVING | NOT_ALWAYS),
    ],
)
def test_a_use_case_imports_what_it_needs(module: str, left_out: set[str]) -> None:
    # As a command does: structlog would load rich.
    script = f"""
import sys
from mirror.cli.terminal.late_rich import rich_is_absent
with rich_is_absent():
    import {module}
    print(*(name for name, module in sys.modules.items() if module))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert left_out & set(done.stdout.split()) == set()
