"""Files of the configuration that this machine cannot use, and that nothing else looks at before they are needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from mirror.settings.loading.configuration import value_origins
from mirror.settings.sections import Settings

if TYPE_CHECKING:
    from mirror.settings.loading.yaml_reading import Place


def unusable_files(settings: Settings, path: Path | None) -> list[str]:
    """Return one sentence for each file of an upstream, or of ``admission.token_file``, that cannot be read.

    Args:
        settings: the settings.
        path: the file that they were read from, or None.
    """
    found = [(place, file, told) for place, file in _files(settings) if (told := _trouble(file))]
    if not found:
        return []
    from mirror.settings.loading.mistakes import shown_place

    where = value_origins(path)
    return [
        f"{where.of(place)}: {shown_place(place, {})}: {told} ({file}), fix: create the file, or correct the path"
        for place, file, told in found
    ]


def _files(settings: Settings) -> Iterator[tuple[Place, Path]]:
    sections: list[tuple[Place, BaseModel | None]] = [(("admission",), settings.admission)]
    for name, upstream in settings.upstreams.items():
        sections += [
            (("upstreams", name, "credentials"), upstream.credentials),
            (("upstreams", name, "tls"), upstream.tls),
        ]
    for place, section in sections:
        for key, value in section or ():
            if isinstance(value, Path):
                yield (*place, key), value


def _trouble(file: Path) -> str | None:
    try:
        if not file.is_file():
            return "is a folder or device" if file.exists() else "does not exist"
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    return None if os.access(file, os.R_OK) else "cannot be read by this user"
