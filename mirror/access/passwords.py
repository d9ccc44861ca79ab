"""Password hashing and checking with bcrypt, in a few threads of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Final

import bcrypt

from mirror.oci.errors import Busy, NameInvalid

#: Minimum length of a new password, in characters.
LEAST_CHARACTERS: Final = 8
#: Prefix of the secrets of access tokens. The prefix distinguishes secrets from passwords, and lets secret scanners
#: find leaked ones.
SECRET_PREFIX: Final = "pmt_"  # noqa: S105 - how secrets begin, not one
#: bcrypt ignores all bytes of a password after these.
_MOST_BYTES: Final = 72
_AT_A_TIME: Final = 2
# At two checks of a fifth of a second each, the last one in the queue waits for about 6 s.
_MOST_WAITING: Final = 64
#: bcrypt's cost of a new hash: about a fifth of a second. Tests lower it.
COST = 12
#: Salt and digest of a hash that no password matches. Checking against it, at the cost of all others, makes a login of
#: an unknown user take as long as a login of a known one, so that response times do not reveal which users exist.
_NOBODYS: Final = "b9v/5o3UbXT4BpTaGL15D.lVeXw659DPwYe.CYRYe89g8xI.sYdni"


def hashed(password: str) -> str:
    """Return the bcrypt hash of a new password. Blocks for about a fifth of a second.

    Raises:
        NameInvalid: the password is too short or too long, or holds a character that some clients do not send.
    """
    if len(password) < LEAST_CHARACTERS:
        raise NameInvalid(f"a password must have at least {LEAST_CHARACTERS} characters; fix: choose a longer one")
    if not password.isprintable():
        raise NameInvalid(
            "the password holds an unprintable character, such as a tab, which some clients drop; fix: choose another"
        )
    if password.startswith(SECRET_PREFIX):
        raise NameInvalid(
            f"a password must not begin with {SECRET_PREFIX}, the prefix of access tokens; fix: choose another"
        )
    if len(password.encode()) > _MOST_BYTES:
        raise NameInvalid(f"a password must have at most {_MOST_BYTES} bytes in UTF-8; fix: choose a shorter one")
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST)).decode()


def matches(password: str, password_hash: str | None) -> bool:
    """Return True if the password matches the hash.

    Blocks for about a fifth of a second, also if ``password_hash`` is None, which no password matches.
    """
    given = password.encode()
    # bcrypt would accept a longer password whose first 72 bytes are right.
    fits = password_hash is not None and len(given) <= _MOST_BYTES
    expected = password_hash if fits and password_hash else f"$2b${COST:02}${_NOBODYS}"
    right = bcrypt.checkpw(given[:_MOST_BYTES], expected.encode())
    return right and fits


class PasswordChecks(AbstractAsyncContextManager["PasswordChecks"]):
    """Checks passwords in threads, at most two at a time, so that logins do not block other requests.

    Use as an asynchronous context manager.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="passwords")
        self._turns = asyncio.Semaphore(_AT_A_TIME)
        self._waiting = 0

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until a password may be checked, and hold the turn inside the context.

        Raises:
            Busy: so many checks are waiting that this one would time out.
        """
        if self._waiting >= _MOST_WAITING:
            raise Busy("too many passwords are being checked; fix: try again in a few seconds", retry_after_seconds=5)
        self._waiting += 1
        try:
            async with self._turns:
                yield
        finally:
            self._waiting -= 1

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Check a password in a thread, see :func:`matches`. Call this only inside :meth:`turn`."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, matches, password, password_hash)
