"""Docker's credential helpers: ``docker-credential-NAME get`` reads the name of a server and prints the login.

See docker-credential-helpers' README, "Development". The answer is a JSON object with ``Username`` and ``Secret``. A
failure is an exit code other than 0, with an error message on standard output.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process, SubprocessStreamProtocol
from contextlib import suppress

from mirror.oci.errors import ConfigurationFault, ManifestInvalid
from mirror.oci.manifest import parse_json_object
from mirror.oci.printable_text import printable
from mirror.runtime.error_advice import file_words
from mirror.upstream.auth.credentials import Credentials, HelperQuestion

_MAX_ANSWER_BYTES = 64 * 1024
_MOST_SHOWN_CHARACTERS = 200
_TIMEOUT_SECONDS = 15.0


def program_of(question: HelperQuestion) -> str:
    """Return the path of the helper program.

    Raises:
        ConfigurationFault: the program is not installed.
    """
    name = f"docker-credential-{question.helper}"
    path = shutil.which(name)
    if path is None:
        raise ConfigurationFault(
            f"{name}, which docker's config.json names for {question.server}, is not in PATH; fix: install it"
        )
    return path


async def ask(question: HelperQuestion, *, timeout_seconds: float = _TIMEOUT_SECONDS) -> Credentials:
    """Run the helper. On cancellation or timeout, kill the helper and all processes started by the helper.

    Args:
        question: the helper and the server.
        timeout_seconds: longest wait for the answer.

    Raises:
        ConfigurationFault: the helper is not installed, does not know the server, fails, answers too much, or does not
            answer in time.
    """
    path = program_of(question)
    loop = asyncio.get_running_loop()
    try:
        # As asyncio.create_subprocess_exec() does, but with the transport, which that function keeps to itself.
        # A session of its own makes the helper the leader of a process group, so ``killpg`` also ends its children.
        transport, protocol = await loop.subprocess_exec(
            lambda: SubprocessStreamProtocol(limit=_MAX_ANSWER_BYTES, loop=loop),
            path,
            "get",
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigurationFault(f"{path} cannot be run: {file_words(error)}") from error
    process = Process(transport, protocol, loop)
    try:
        async with asyncio.timeout(timeout_seconds):
            answer, code = await _answer(process, question.server)
    except TimeoutError as error:
        raise ConfigurationFault(f"{path} has not answered within {timeout_seconds:g} s") from error
    finally:
        await _end(process, transport)
    if len(answer) > _MAX_ANSWER_BYTES:
        raise ConfigurationFault(f"{path} answers with more than {_MAX_ANSWER_BYTES} bytes")
    if code != 0:
        said = printable(" ".join(answer.decode("utf-8", "replace").split()), _MOST_SHOWN_CHARACTERS)
        raise ConfigurationFault(f"{path} gives no login for {question.server}: {said or f'it ended with {code}'}")
    return _login(path, answer)


async def _answer(process: Process, server: str) -> tuple[bytes, int]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the helper was started with pipes")
    with suppress(ConnectionError):  # the helper may end without reading its input
        process.stdin.write(f"{server}\n".encode())
        await process.stdin.drain()
    process.stdin.close()
    answer = bytearray()
    while len(answer) <= _MAX_ANSWER_BYTES and (piece := await process.stdout.read(_MAX_ANSWER_BYTES)):
        answer += piece
    if len(answer) > _MAX_ANSWER_BYTES:
        return bytes(answer), 0
    return bytes(answer), await process.wait()


async def _end(process: Process, transport: asyncio.SubprocessTransport) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    # wait() also waits for the end of the output. That end never comes if asyncio has paused the reading of a long
    # answer, or if a process that has left the group keeps the pipe open.
    for descriptor in (0, 1):
        if (pipe := transport.get_pipe_transport(descriptor)) is not None:
            pipe.close()
    await process.wait()


def _login(path: str, answer: bytes) -> Credentials:
    try:
        value = parse_json_object(answer, "its answer")
    except ManifestInvalid as error:  # its message may quote the secret, so it is not included
        raise ConfigurationFault(f"{path}: its answer is not a JSON object") from error
    username, secret = value.get("Username"), value.get("Secret")
    if not isinstance(username, str) or not isinstance(secret, str) or not username or not secret:
        raise ConfigurationFault(f"{path}: its answer lacks Username or Secret")
    return Credentials.from_pair(username, secret)
