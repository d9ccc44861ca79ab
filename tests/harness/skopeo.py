"""skopeo as another real client of a registry."""

import shutil
from pathlib import Path

from tests.harness.command import CompletedRun, run

PROGRAM = "skopeo"


def missing() -> str | None:
    """What must be installed first, or None."""
    return None if shutil.which(PROGRAM) else "skopeo is not installed (Debian: apt-get install skopeo)"


def copy(source: str, target: str, *options: str, check: bool = True, timeout_seconds: float = 60) -> CompletedRun:
    """`skopeo copy` from `source` to `target` (`docker://127.0.0.1:PORT/name:tag`, `dir:/path`), without TLS checks."""
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
    reference: str, *options: str, raw: bool = False, check: bool = True, timeout_seconds: float = 60
) -> CompletedRun:
    """`skopeo inspect`; with `raw` the manifest's exact bytes are `stdout_bytes` of the answer."""
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


def sync(source: Path, target: str, *, check: bool = True, timeout_seconds: float = 60) -> CompletedRun:
    """`skopeo sync` of what a YAML file names into a registry, `127.0.0.1:PORT/name`, without TLS checks."""
    flags = ("--src=yaml", "--dest=docker", "--dest-tls-verify=false")
    return _skopeo("sync", *flags, str(source), target, check=check, timeout_seconds=timeout_seconds)


def _skopeo(*arguments: str, check: bool, timeout_seconds: float) -> CompletedRun:
    return run([PROGRAM, "--insecure-policy", *arguments], check=check, timeout_seconds=timeout_seconds)
