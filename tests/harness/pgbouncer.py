"""PgBouncer on loopback in front of a database, lending connections for one transaction each."""

import os
import shutil

from tests.harness.command import SYSTEM_PATH
from tests.harness.postgresql import USER, Postgresql
from tests.harness.process import Service
from tests.harness.readiness import tcp_accepts
from tests.harness.server import Server

PROGRAM = "pgbouncer"


def missing() -> str | None:
    """Return None if PgBouncer can be started, else a sentence that names the package."""
    return None if shutil.which(PROGRAM, path=SYSTEM_PATH) else f"{PROGRAM} is missing (package {PROGRAM})"


class PgBouncer(Server):
    """A pooler in transaction mode, with fewer connections to the server than its clients have to it.

    Args:
        server: the server behind it.
        connections: number of connections to a database of the server.
    """

    kind = "pgbouncer"

    def __init__(self, server: Postgresql, *, connections: int = 2) -> None:
        super().__init__()
        self._server = server
        self._connections = connections

    def _made(self) -> Service:
        program = shutil.which(PROGRAM, path=SYSTEM_PATH)
        assert program is not None, missing()
        users, settings = self.folder / "users", self.folder / "pgbouncer.ini"
        users.write_text(f'"{USER}" ""\n')
        settings.write_text(
            f"[databases]\n* = host=127.0.0.1 port={self._server.port} user={USER}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {users}\npool_mode = transaction\n"
            f"default_pool_size = {self._connections}\nserver_login_retry = 1\nlogfile = {self.folder / 'pooler.log'}\n"
        )
        if os.geteuid() == 0:  # PgBouncer refuses root
            for path in (self.folder, users, settings):
                shutil.chown(path, USER, USER)
        as_user = ["-u", USER] if os.geteuid() == 0 else []
        return Service(
            [program, *as_user, str(settings)], log=self.folder / "log", ready=tcp_accepts("127.0.0.1", self.port)
        )
