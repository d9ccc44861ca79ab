"""Logins that change while we run: a file that is written anew, a helper that hands out what lasts for an hour."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from mirror.runtime.clock import Clock, SystemClock
from mirror.runtime.concurrency.shared_tasks import SharedTasks
from mirror.runtime.reloading_file import ReloadingFile
from mirror.upstream.auth import credential_helper
from mirror.upstream.auth.credentials import Credentials, HelperQuestion

_SYSTEM_CLOCK = SystemClock()
_HELPED_FOR_SECONDS = 60.0


class LoginSource(Protocol):
    """Knows who we are."""

    @property
    def label(self) -> str:
        """The user, or the file that names it, for messages."""
        ...

    async def current(self) -> Credentials:
        """The login as it is now.

        Raises:
            ConfigurationFault: there is none any more.
        """
        ...


class FileLogin:
    """A login in a file, which is read again when the file has changed.

    Where it cannot be read any more, the last login stays: somebody is writing it.

    Args:
        path: the file; ``~`` is the home folder.
        label: who it is, for people.
        read: reads the file.
        clock: tells when to look again.

    Raises:
        ConfigurationFault: ``read`` does.
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
        self._found = ReloadingFile("a login", [path], lambda: _checked(read()), clock)
        self._helped: tuple[HelperQuestion, Credentials, float] | None = None
        self._asking: SharedTasks[HelperQuestion, Credentials] = SharedTasks()

    @classmethod
    def password(cls, username: str, path: Path, clock: Clock = _SYSTEM_CLOCK) -> FileLogin:
        """A user name, and a file whose first line is the password."""
        return cls(path, f"user {username}", lambda: Credentials.from_password_file(username, path), clock)

    @classmethod
    def docker(cls, path: Path, host: str, clock: Clock = _SYSTEM_CLOCK) -> FileLogin:
        """The login of docker's ``config.json`` for ``HOST[:PORT]``, also where that names a helper."""
        return cls(path, f"the login for {host} in {path}", lambda: Credentials.from_docker_config(path, host), clock)

    async def current(self) -> Credentials:
        found = await self._found.current()
        return found if isinstance(found, Credentials) else await self._helped_with(found)

    async def _helped_with(self, question: HelperQuestion) -> Credentials:
        now = self._clock.monotonic_seconds()
        if self._helped is not None and self._helped[0] == question and now < self._helped[2]:
            return self._helped[1]
        login = await self._asking.run(question, lambda: credential_helper.ask(question))
        self._helped = (question, login, now + _HELPED_FOR_SECONDS)
        return login


def _checked(found: Credentials | HelperQuestion) -> Credentials | HelperQuestion:
    if isinstance(found, HelperQuestion):
        credential_helper.program_of(found)
    return found
