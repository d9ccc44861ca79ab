"""Where a command finds a plugin: in a registry, or in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mirror.authoring.files.layout_reader import LayoutReference
from mirror.oci import Reference

PlainHttpOption = Annotated[
    bool, typer.Option("--plain-http", help="Speak http to HOST; loopback hosts need no such word.")
]

#: Text in brackets that begins with @ would be taken for a mark of rich's.
SOURCE_HELP = (
    "[HOST[:PORT]/]NAME[:TAG]\\[@DIGEST], FILE.tar:NAME:TAG in an OCI layout, a folder for 'docker plugin create', "
    "or its config.json."
)


def parse_source(text: str) -> Reference | LayoutReference | Path:
    """Read REF, DIR or FILE.

    What holds ``.tar:`` is something in that file. What begins with ``.``, ``/`` or ``~`` is a path, and so is what
    lies there as a plugin's folder or a file: a name with its tag is never taken for one.

    Raises:
        NameInvalid, DigestInvalid: it is no path, and no reference either.
    """
    inside = LayoutReference.parse(text)
    if inside is not None:
        return inside
    path = Path(text).expanduser()
    if text.startswith((".", "/", "~")) or (":" not in text and (path.is_file() or (path / "config.json").is_file())):
        return path
    return Reference.parse(text)


def tag_of(source: Reference | LayoutReference | Path) -> str | None:
    """The tag that it goes by."""
    source = source.reference if isinstance(source, LayoutReference) else source
    return source.tag.name if isinstance(source, Reference) and source.tag is not None else None
