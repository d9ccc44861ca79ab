"""PostgreSQL on loopback, with any number of databases."""

import os
import shutil
import subprocess
from functools import cache
from itertools import count
from pathlib import Path

from tests.harness.command import SYSTEM_PATH
from tests.harness.process import Service
from tests.harness.server import Server

USER = "postgres"
_NUMBERS = count(1)
_SETTINGS = """
unix_socket_directories = ''
max_connections = 200
shared_buffers = 32MB
log_min_messages = warning
"""
#: For tests that do not kill the machine: a database is made ten times as fast.
_QUICK = """
fsync = off
full_page_writes = off
"""


@cache
def programs() -> Path | None:
    """Return the folder of the programs of the latest installed release, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    return found[-1].parent if found else None


def missing() -> str | None:
    """Return None if PostgreSQL can be started, else a sentence that names the package."""
    return None if programs() is not None else "PostgreSQL is missing (package postgresql)"


class Postgresql(Server):
    """A server on a free port of 127.0.0.1, which trusts its clients. It survives `kill()`, as it syncs, if asked.

    Args:
        is_durable: True to sync each commit.
    """

    kind = "postgresql"

    def __init__(self, *, is_durable: bool = False) -> None:
        super().__init__()
        self._is_durable = is_durable

    def new_database(self, *, template: str = "template0") -> str:
        """Create a database and return its URL."""
        name = f"test_{next(_NUMBERS)}"
        self.run(f'CREATE DATABASE {name} TEMPLATE "{template}"')
        return f"postgresql://{USER}@{self.host}/{name}"

    def run(self, statement: str, database: str = "postgres") -> str:
        """Run a statement as the administrator and return its rows as text."""
        folder = programs()
        assert folder is not None
        command = [str(folder / "psql"), "-XqAt", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER]
        done = subprocess.run([*command, "-c", statement, database], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def require_passwords_of(self, user: str) -> None:
        """Ask a user for a password from now on."""
        rules = self.folder / "data/pg_hba.conf"
        rules.write_text(f"host all {user} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        self.run("SELECT pg_reload_conf()")

    def _made(self) -> Service:
        folder = programs()
        assert folder is not None, missing()
        data = self.folder / "data"
        as_user: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses root
            shutil.chown(self.folder, USER, USER)
            as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--pdeathsig", "TERM"]
        initdb = [str(folder / "initdb"), "--no-sync", "-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C.UTF-8"]
        subprocess.run([*as_user, *initdb, "-D", str(data)], check=True, capture_output=True)
        with (data / "postgresql.conf").open("a") as file:
            file.write(_SETTINGS + ("" if self._is_durable else _QUICK))
        return Service(
            [*as_user, str(folder / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(self.port)],
            log=self.folder / "log",
            ready=self._answers,
            environment={"PATH": SYSTEM_PATH},
            stop_timeout_seconds=10,
        )

    def _answers(self) -> bool:
        folder = programs()
        assert folder is not None
        command = [str(folder / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0
