"""oras as another real registry client: artifacts and referrers."""

import json
from pathlib import Path
from typing import Any

from tests.harness import command, trixie
from tests.harness.command import LOOPBACK_ONLY, CompletedRun


def missing() -> str | None:
    """Return a sentence that says how to fetch oras, or None if oras is available."""
    return trixie.missing(trixie.ORAS)


def push(reference: str, *files: str, artifact_type: str, folder: Path) -> dict[str, Any]:
    """Push files as the artifact `reference` and return the descriptor of its manifest.

    The manifest contains the current time, so that each push of the same files creates another manifest.

    Args:
        reference: `127.0.0.1:PORT/NAME:TAG`.
        files: Files as `NAME:MEDIA/TYPE`, with names relative to `folder`.
        artifact_type: Artifact type of the manifest.
        folder: Folder of the files.
    """
    return _told("push", "--plain-http", "--artifact-type", artifact_type, reference, *files, folder=folder)


def attach(reference: str, *files: str, artifact_type: str, folder: Path) -> dict[str, Any]:
    """Attach files to the content that `reference` names and return the descriptor of the new manifest.

    Takes the same arguments as `push`.
    """
    return _told("attach", "--plain-http", "--artifact-type", artifact_type, reference, *files, folder=folder)


def discover(reference: str, *, artifact_type: str = "") -> list[dict[str, Any]]:
    """Return the descriptors of the referrers of `reference`, only those of `artifact_type` if given."""
    filters = ["--artifact-type", artifact_type] if artifact_type else []
    told = _told("discover", "--plain-http", *filters, reference)
    return list(told["manifests"])


def pull(reference: str, folder: Path) -> dict[str, Any]:
    """Write the files of an artifact into `folder` and return the JSON output of oras.

    The key `files` has a list of descriptors.
    """
    return _told("pull", "--plain-http", "--output", str(folder), reference)


def copy(source: str, target: str, *, recursive: bool = False, check: bool = True) -> CompletedRun:
    """Copy an artifact between registries, with all of its referrers if `recursive` is true."""
    flags = ["--recursive"] if recursive else []
    return oras("copy", "--from-plain-http", "--to-plain-http", *flags, source, target, check=check)


def oras(*arguments: str, folder: Path | None = None, check: bool = True) -> CompletedRun:
    """Run any oras command, in `folder` if given. The caller adds `--plain-http` to commands that need this option."""
    return command.run([str(trixie.ORAS), *arguments], environment=LOOPBACK_ONLY, folder=folder, check=check)


def _told(verb: str, *arguments: str, folder: Path | None = None) -> dict[str, Any]:
    return dict(json.loads(oras(verb, "--format", "json", *arguments, folder=folder).stdout))
