"""The token in ``admission.token_file``, which allows decisions about plugins without a login."""

from __future__ import annotations

import asyncio
import hmac
from pathlib import Path
from typing import Final

from mirror.oci.errors import ConfigurationFault, Denied
from mirror.runtime.system_errors import how_to_fix

#: Least length of the token, in characters.
LEAST_TOKEN_LENGTH: Final = 16
_MOST_TOKEN_BYTES: Final = 4096


class ApprovalToken:
    """Compares tokens with the token in a file. The file is read for each comparison, so a new token needs no restart.

    Args:
        file: the file holding the token.

    Raises:
        ConfigurationFault: the file cannot be read, or the token is too short.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        _read(file)  # so that the server does not start with an unusable file

    async def require(self, said: str | None) -> None:
        """Check the token sent by a client.

        Args:
            said: the token; None if the client sent none.

        Raises:
            Denied: the token is missing or wrong.
        """
        wanted = await asyncio.to_thread(_read, self._file)
        # Constant time: the time of the comparison must not tell how much of a guess is right.
        if said is None or not hmac.compare_digest(said.encode(errors="surrogateescape"), wanted.encode()):
            raise Denied("this needs the header 'Authorization: Bearer TOKEN' with the token in admission.token_file")


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            word = opened.read(_MOST_TOKEN_BYTES).decode().strip()
    except OSError as error:
        raise ConfigurationFault(
            f"admission.token_file: {file} cannot be read: {error.strerror}; fix: {how_to_fix(error, file)}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationFault(
            f"admission.token_file: {file} is not text; fix: create a token with 'openssl rand -hex 32'"
        ) from error
    if len(word) < LEAST_TOKEN_LENGTH:
        raise ConfigurationFault(
            f"admission.token_file: {file} holds fewer than {LEAST_TOKEN_LENGTH} characters; "
            "fix: create a token with 'openssl rand -hex 32'"
        )
    return word
