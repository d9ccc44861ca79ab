"""Logins that change at run time: a file that is rewritten, or a helper that returns short-lived secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from mirror.oci.errors import ConfigurationFault
from mirror.runtime.clock import Clock, SystemClock
from mirror.runtime.concurrency.shared_tasks import SharedTasks
from mirror.runtime.files.reloading_file import ReloadingFile
from mirror.upstream.auth import credential_helper
from mirror.upstream.auth.credentials import Credentials, HelperQuestion

_SYSTEM_CLOCK = SystemClock()
# The answer of a helper is reused for a minute. Helpers may return secrets that expire within an hour.
_HELPED_FOR_SECONDS = 60.0


class LoginSource(Protocol):
    """Source of the current login."""

    @property
    def label(self) -> str:
        """The user, or the file that names the user, for messages."""
        ...

    async def current(self) -> Credentials:
        """Return the current login.

        Raises:
            ConfigurationFault: there is no login any more.
        """
        ...


class FileLogin:
    """A login in a file that is read again after changes.

    If the file cannot be read after a change, the last login stays in use, because another program may be writing the
    file.

    Args:
        path: the file.
        label: description of the login, for people.
        read: reads the file.
        clock: determines when to check the file again.

    Raises:
        ConfigurationFault: the first ``read`` fails.
    """

    def __init__(
        self,
        path: Path,
        label: str,
        read: Callable[[], Credentials | HelperQuestion],
        clock: Clock = _SYSTEM_CLOCK,
    ) -> None:
        self.label = label
        self._clock = clock
        self._found = ReloadingFile("login", [path], lambda: _checked(read()), clock)
        self._helped: tuple[HelperQuestion, Credentials, float] | None = None
        self._asking: SharedTasks[HelperQuestion, Credentials] = SharedTasks()

    @classmethod
    def password(cls, username: str, path: Path, clock: Clock = _SYSTEM_CLOCK) -> FileLogin:
        """Return a login with a user name and a file whose first line is the password."""
        return cls(path, f"user {username}", lambda: Credentials.from_password_file(username, path), clock)

    @classmethod
    def docker(cls, path: Path, registry: str, clock: Clock = _SYSTEM_CLOCK) -> FileLogin:
        """Return the login for ``HOST[:PORT][/PATH]`` in docker's ``config.json``, or from the helper named there."""
        label = f"the login for {registry} in {path}"
        return cls(path, label, lambda: Credentials.from_docker_config(path, registry), clock)

    async def current(self) -> Credentials:
        found = await self._found.current()
        return found if isinstance(found, Credentials) else await self._helped_with(found)

    async def _helped_with(self, question: HelperQuestion) -> Credentials:
        now = self._clock.monotonic_seconds()
        if self._helped is not None and self._helped[0] == question and now < self._helped[2]:
            return self._helped[1]
        # Concurrent requests share one call of the helper.
        login = await self._asking.run(question, lambda: credential_helper.ask(question))
        self._helped = (question, login, now + _HELPED_FOR_SECONDS)
        return login


async def find_docker_login(environment: Mapping[str, str], registry: str) -> FileLogin | None:
    """Return the login that ``docker login`` wrote for the user; None to ask anonymously, as docker does then.

    Args:
        environment: ``DOCKER_CONFIG`` names the folder with docker's ``config.json``.
        registry: ``HOST[:PORT]``.
    """
    # Without the file, or without a login for this registry in it or at its helper, docker asks anonymously.
    # A user may have no home folder (RuntimeError).
    with suppress(ConfigurationFault, RuntimeError):
        login = FileLogin.docker(_docker_folder(environment) / "config.json", registry)
        await login.current()
        return login
    return None


def _checked(found: Credentials | HelperQuestion) -> Credentials | HelperQuestion:
    if isinstance(found, HelperQuestion):
        credential_helper.program_of(found)
    return found


def _docker_folder(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("DOCKER_CONFIG") or "~/.docker").expanduser()
