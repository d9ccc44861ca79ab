"""oras as another real client of a registry: artifacts, and what refers to what."""

import json
from pathlib import Path
from typing import Any

from tests.harness import command, trixie
from tests.harness.command import LOOPBACK_ONLY, CompletedRun


def missing() -> str | None:
    """What must be done first, or None."""
    return trixie.missing(trixie.ORAS)


def push(reference: str, *files: str, artifact_type: str, folder: Path) -> dict[str, Any]:
    """Push `files` (`NAME:MEDIA/TYPE`, names relative to `folder`) as the artifact `reference`; returns its descriptor.

    The manifest holds the time of day, so that pushing the same again makes another one.
    """
    return _told("push", "--plain-http", "--artifact-type", artifact_type, reference, *files, folder=folder)


def attach(reference: str, *files: str, artifact_type: str, folder: Path) -> dict[str, Any]:
    """Attach `files`, given as to `push`, to what `reference` names; returns the new manifest's descriptor."""
    return _told("attach", "--plain-http", "--artifact-type", artifact_type, reference, *files, folder=folder)


def discover(reference: str, *, artifact_type: str = "") -> list[dict[str, Any]]:
    """Return the descriptors of what refers to `reference`, only those of `artifact_type` when given."""
    filters = ["--artifact-type", artifact_type] if artifact_type else []
    told = _told("discover", "--plain-http", *filters, reference)
    return list(told["manifests"])


def pull(reference: str, folder: Path) -> dict[str, Any]:
    """Write the files of an artifact into `folder`; returns what oras tells of them (`files`: list of descriptors)."""
    return _told("pull", "--plain-http", "--output", str(folder), reference)


def copy(source: str, target: str, *, recursive: bool = False, check: bool = True) -> CompletedRun:
    """Copy an artifact between registries, with all that refers to it when `recursive`."""
    flags = ["--recursive"] if recursive else []
    return oras("copy", "--from-plain-http", "--to-plain-http", *flags, source, target, check=check)


def oras(*arguments: str, folder: Path | None = None, check: bool = True) -> CompletedRun:
    """Run any oras command, in `folder` when given; `--plain-http` where it belongs is up to the caller."""
    return command.run([str(trixie.ORAS), *arguments], environment=LOOPBACK_ONLY, folder=folder, check=check)


def _told(verb: str, *arguments: str, folder: Path | None = None) -> dict[str, Any]:
    return dict(json.loads(oras(verb, "--format", "json", *arguments, folder=folder).stdout))
