"""The word that stands for a login of somebody who decides about plugins, in a file (``admission.token_file``)."""

from __future__ import annotations

import asyncio
import hmac
from pathlib import Path
from typing import Final

from mirror.oci.errors import ConfigurationFault, Denied

#: Fewest characters of the word.
LEAST_TOKEN_LENGTH: Final = 16
_MOST_TOKEN_BYTES: Final = 4096


class ApprovalToken:
    """Compares words with that in a file, which is read anew each time.

    Args:
        file: holds the word.

    Raises:
        ConfigurationFault: the word cannot be read, or is too short.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        _read(file)

    async def require(self, said: str | None) -> None:
        """Return where somebody has said the word. Raises Denied: they have not."""
        wanted = await asyncio.to_thread(_read, self._file)
        if said is None or not hmac.compare_digest(said.encode(errors="surrogateescape"), wanted.encode()):
            raise Denied("this needs the header 'Authorization: Bearer WORD', with the word of admission.token_file")


def _read(file: Path) -> str:
    try:
        with file.expanduser().open("rb") as opened:
            word = opened.read(_MOST_TOKEN_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationFault(f"admission.token_file: {file} cannot be read: {error}") from error
    if len(word) < LEAST_TOKEN_LENGTH:
        raise ConfigurationFault(
            f"admission.token_file: {file} holds fewer than {LEAST_TOKEN_LENGTH} characters: "
            "make one with 'openssl rand -hex 32'"
        )
    return word
