"""The program openssl as a client of TLS with exactly the wanted options."""

import shutil

from tests.harness.command import SYSTEM_PATH, CompletedRun, run

PROGRAM = "openssl"


def missing() -> str | None:
    """Return a sentence that names the missing package, or None if openssl is installed."""
    if shutil.which(PROGRAM, path=SYSTEM_PATH):
        return None
    return "openssl is not installed (Debian: apt-get install openssl)"


def s_client(port: int, *options: str, input_text: str = "", check: bool = True) -> CompletedRun:
    """Connect to a port of 127.0.0.1 with `openssl s_client`, and disconnect after the handshake and the input.

    Args:
        port: TCP port.
        options: Options of `openssl s_client`.
        input_text: Text to send. The line `R` asks for a renegotiation up to TLS 1.2.
        check: True to raise `CommandFailedError` if the handshake fails.
    """
    argv = [PROGRAM, "s_client", "-connect", f"127.0.0.1:{port}", *options]
    return run(argv, input_text=input_text, environment={"PATH": SYSTEM_PATH}, check=check)
