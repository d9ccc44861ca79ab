"""Modules that a command imports. Each call is a new process, and imports may take longer than the work."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror.cli.start.lazy_commands import LazyGroup
from mirror.cli.start.root_group import root_group
from mirror.store.registry import Store
from tests.support.plugins import NAME, TAG, put_plugin

SERVING = {"aiohttp.web", "prometheus_client", "mirror.server.http_application"}
NOT_ALWAYS = {"alembic", "aiohttp_socks", "rich", "sqlalchemy.orm"}
UPSTREAM = {"aiohttp", "stamina"}
STORE = {"sqlalchemy", "asyncio", "structlog", "cryptography", "bcrypt"} | SERVING | NOT_ALWAYS | UPSTREAM
SETTINGS = {"pydantic", "yaml", "mirror.settings", "mirror.app"} | STORE
PROGRAM = {"mirror.oci"} | SETTINGS
INSPECT = {"yaml", "cryptography", "bcrypt", "mirror.bundle"} | SERVING | NOT_ALWAYS | UPSTREAM
#: What a configuration without a file does not need: its reader, the words about mistakes, and absent sections.
FILE = {
    "yaml",
    "importlib.metadata",
    "mirror.settings.loading.mistakes",
    "mirror.plugin.config.secret_values",
    "mirror.settings.access_settings",
    "mirror.settings.admission.admission_rule_settings",
    "mirror.settings.mirror_settings",
    "mirror.settings.server.server_tls_settings",
    "mirror.settings.upstream_settings",
    "re2",
}

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


def commands(group: LazyGroup, before: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield all commands below a group, with the names of their groups."""
    for name, command in group.commands.items():
        if isinstance(command, LazyGroup):
            yield from commands(command, (*before, name))
        else:
            yield " ".join((*before, name))


def imported_by(command: str, folder: Path) -> set[str]:
    """Return the modules that a process has imported after a command."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *command.split()], cwd=folder, capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("command", "most", "left_out"),
    [
        ("--help", 166, PROGRAM),
        ("bundle --help", 166, PROGRAM),
        ("version", 172, PROGRAM),
        ("completion bash", 167, PROGRAM),
        ("config check", 313, FILE | STORE),
        ("ls", 336, {"mirror.app"} | FILE | STORE),
        (f"ls {NAME}", 336, {"mirror.app"} | FILE | STORE),
        (f"inspect {NAME}:{TAG}", 764, INSPECT),
    ],
)
def test_a_command_imports_what_it_needs(command: str, most: int, left_out: set[str], data: Path) -> None:
    imported = imported_by(command, data.parent)
    assert left_out & imported == set()
    assert len(imported) <= most


@pytest.mark.parametrize("command", list(commands(root_group())))
def test_the_help_of_a_command_imports_neither_settings_nor_use_cases(command: str, tmp_path: Path) -> None:
    imported = imported_by(f"{command} --help", tmp_path)
    assert imported & SETTINGS == set()
    assert len(imported) <= 230


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
