"""Requests to export the plugin ``contiv/v2plugin``, signed with the key of tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from mirror.bundle.export.export_request import ExportRequest, ExportSource
from mirror.bundle.trust.signing_keys import SigningKey
from mirror.oci import Repository, Tag
from mirror.registry.port import Registry
from tests.support.bundles import CREATED, KEY

HERE: Final = Repository("contiv/v2plugin")


def source_of(registry: Registry, tag: str = "1.0", **more: object) -> ExportSource:
    """Return a tag of the plugin as something to export. ``more`` are attributes of the source."""
    made = ExportSource(registry, HERE, Tag(tag), HERE, Tag(tag))
    return replace(made, **more)  # type: ignore[arg-type]  # attributes of a source


def export_request(output: Path, *sources: ExportSource, **more: object) -> ExportRequest:
    """Return the request to export to a file. ``more`` are attributes of the request."""
    made = ExportRequest(
        output=output, sources=sources, stream="test", next_serial=1, created=CREATED, keys=[SigningKey(KEY)]
    )
    return replace(made, **more)  # type: ignore[arg-type]  # attributes of a request
