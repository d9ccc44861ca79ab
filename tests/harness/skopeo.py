"""skopeo as another real registry client."""

import shutil
from pathlib import Path

from tests.harness.command import CompletedRun, run

PROGRAM = "skopeo"


def missing() -> str | None:
    """Return a sentence that names the missing package, or None if skopeo is installed."""
    return None if shutil.which(PROGRAM) else "skopeo is not installed (Debian: apt-get install skopeo)"


def copy(source: str, target: str, *options: str, check: bool = True, timeout_seconds: float = 180) -> CompletedRun:
    """Run `skopeo copy` without TLS verification.

    Args:
        source: Source, such as `docker://127.0.0.1:PORT/name:tag` or `dir:/path`.
        target: Destination in the same notation.
        options: Further options of `skopeo copy`.
        check: True to raise `CommandFailedError` for a non-zero exit code.
        timeout_seconds: Time after which skopeo is killed.
    """
    return _skopeo(
        "copy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        *options,
        source,
        target,
        check=check,
        timeout_seconds=timeout_seconds,
    )


def inspect(
    reference: str, *options: str, raw: bool = False, check: bool = True, timeout_seconds: float = 180
) -> CompletedRun:
    """Run `skopeo inspect` without TLS verification.

    With `raw`, `stdout_bytes` of the result has the manifest's exact bytes.
    """
    flags = ["--raw"] if raw else []
    return _skopeo(
        "inspect",
        "--tls-verify=false",
        *flags,
        *options,
        reference,
        check=check,
        timeout_seconds=timeout_seconds,
    )


def sync(source: Path, target: str, *, check: bool = True, timeout_seconds: float = 180) -> CompletedRun:
    """Run `skopeo sync` without TLS verification.

    Args:
        source: YAML file that names the images to copy.
        target: Destination, `127.0.0.1:PORT/name`.
        check: True to raise `CommandFailedError` for a non-zero exit code.
        timeout_seconds: Time after which skopeo is killed.
    """
    flags = ("--src=yaml", "--dest=docker", "--dest-tls-verify=false")
    return _skopeo("sync", *flags, str(source), target, check=check, timeout_seconds=timeout_seconds)


def _skopeo(*arguments: str, check: bool, timeout_seconds: float) -> CompletedRun:
    return run([PROGRAM, "--insecure-policy", *arguments], check=check, timeout_seconds=timeout_seconds)
