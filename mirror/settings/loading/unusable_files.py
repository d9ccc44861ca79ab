"""Files of the configuration that this machine cannot use, and that nothing else looks at before they are needed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from mirror.settings.loading.configuration import with_origins
from mirror.settings.sections import Settings

if TYPE_CHECKING:
    from mirror.settings.loading.yaml_reading import Place


def unusable_files(settings: Settings, path: Path | None) -> list[str]:
    """Return one sentence for each unreadable file of upstreams, ``admission.token_file`` and ``storage.blobs``.

    Args:
        settings: the settings.
        path: the file that they were read from, or None.
    """
    found = [(place, file, told) for place, file in _files(settings) if (told := _trouble(file))]
    if not found:
        return []
    from mirror.plugin.config.secret_values import HIDDEN
    from mirror.settings.loading.secret_parts import shown_path

    shown = [shown_path(str(place[-1]), str(file)) for place, file, _ in found]
    sentences = [
        (place, f"{told} {name if name == HIDDEN else f'({name})'}; fix: create the file, or correct the path")
        for (place, _, told), name in zip(found, shown, strict=True)
    ]
    return with_origins(sentences, settings, path)


def without_secret_paths(settings: Settings, sentence: str) -> str:
    """Return a sentence without the paths of the configuration that are perhaps secrets and no paths."""
    from mirror.settings.loading.secret_parts import shown_path

    for key, file in _paths(settings, ""):
        if (shown := shown_path(key, str(file))) != str(file):
            sentence = re.sub(rf"(?<![\w./-]){re.escape(str(file))}(?![\w/-])", shown, sentence)
    return sentence


def _paths(value: object, key: str) -> Iterator[tuple[str, Path]]:
    """Yield each path of a section, with its key."""
    if isinstance(value, Path):
        yield key, value
    elif isinstance(value, BaseModel):
        for below, one in value:
            yield from _paths(one, below)
    elif isinstance(value, Mapping | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _paths(one, key)


def _files(settings: Settings) -> Iterator[tuple[Place, Path]]:
    sections: list[tuple[Place, BaseModel | None]] = [(("admission",), settings.admission)]
    sections.append((("storage", "blobs"), settings.storage.blobs))
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
