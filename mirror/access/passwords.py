"""Passwords: hashed by bcrypt, in threads of their own, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Final

import bcrypt

from mirror.oci.errors import Busy, NameInvalid

#: Shortest password that a user is given, in characters.
LEAST_CHARACTERS: Final = 8
#: How secrets of tokens begin, so that they can be told from passwords, and be found where they should not be.
SECRET_PREFIX: Final = "pmt_"  # noqa: S105 - how secrets begin, not one
#: bcrypt reads no more.
_MOST_BYTES: Final = 72
_AT_A_TIME: Final = 2
_MOST_WAITING: Final = 64
#: The hash of a password that nobody has: whoever does not exist takes as long as who does. Of the same cost.
_NOBODYS: Final = "$2b$12$b9v/5o3UbXT4BpTaGL15D.lVeXw659DPwYe.CYRYe89g8xI.sYdni"


def hashed(password: str) -> str:
    """The hash of a new password. Blocks for about a fifth of a second.

    Raises:
        NameInvalid: the password is too short, too long, or cannot be sent by every client.
    """
    if len(password) < LEAST_CHARACTERS:
        raise NameInvalid(f"a password has at least {LEAST_CHARACTERS} characters")
    if not password.isprintable():
        raise NameInvalid("the password holds a character that cannot be seen, such as a tab: some clients drop it")
    if password.startswith(SECRET_PREFIX):
        raise NameInvalid(f"a password does not begin with {SECRET_PREFIX}: tokens do")
    if len(password.encode()) > _MOST_BYTES:
        raise NameInvalid(f"a password has at most {_MOST_BYTES} bytes")
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt()).decode()


def matches(password: str, password_hash: str | None) -> bool:
    """Whether that is the password. Blocks as long for a hash as for None, which nothing matches."""
    given = password.encode()
    fits = password_hash is not None and len(given) <= _MOST_BYTES
    right = bcrypt.checkpw(given[:_MOST_BYTES], (password_hash if fits and password_hash else _NOBODYS).encode())
    return right and fits


class PasswordChecks(AbstractAsyncContextManager["PasswordChecks"]):
    """Checks passwords beside the event loop, a few at a time: who logs in holds up nobody. An ``async with``."""

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
        """Wait until a password may be checked; inside, check one.

        Raises:
            Busy: so many wait already that this one would time out.
        """
        if self._waiting >= _MOST_WAITING:
            raise Busy("too many passwords are being checked: try again in a few seconds", retry_after_seconds=5)
        self._waiting += 1
        try:
            async with self._turns:
                yield
        finally:
            self._waiting -= 1

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """As :func:`matches`. Only inside :meth:`turn`."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, matches, password, password_hash)
