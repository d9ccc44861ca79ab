"""Sources from which a command reads a plugin: a registry, an OCI layout file or a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.oci import Reference

if TYPE_CHECKING:
    from mirror.authoring.files.layout_reference import LayoutReference

PlainHttpOption = Annotated[
    bool, typer.Option("--plain-http", help="Use HTTP instead of HTTPS for HOST. Loopback hosts need no flag.")
]

SOURCE_HELP = (
    "[HOST[:PORT]/]NAME[:TAG][@DIGEST], where docker.io is Docker Hub; FILE.tar:NAME:TAG in a bundle or OCI layout; a "
    "folder for 'docker plugin create', or its config.json or config.template."
)


def parse_source(text: str) -> Reference | LayoutReference | Path:
    """Parse ``REF``, ``DIR`` or ``FILE``.

    A text with ``.tar:`` names content in an OCI layout file. A text that begins with ``.``, ``/`` or ``~``, or ends
    with ``/``, is a path. Any other text is a path if it has no ``:`` and the folder of a plugin or a file of this name
    exists. So a name with a tag is always a reference.

    Raises:
        NameInvalid, DigestInvalid: the text is neither a path nor a valid reference.
    """
    from mirror.authoring.files.layout_reference import LayoutReference

    inside = LayoutReference.parse(text)
    if inside is not None:
        return inside
    path = Path(text).expanduser()
    # A folder such as ./contiv/v2plugin must not change the meaning of a reference with a tag.
    is_path = text.startswith((".", "/", "~")) or text.endswith("/")
    return path if is_path or (":" not in text and _holds_a_plugin(path)) else Reference.parse(text)


def _holds_a_plugin(path: Path) -> bool:
    from mirror.authoring.files.plugin_folder import is_plugin_folder

    return path.is_file() or is_plugin_folder(path)


def tag_of(source: Reference | LayoutReference | Path) -> str | None:
    """Return the tag of a source, or None if the source has no tag."""
    source = source if isinstance(source, Reference | Path) else source.reference
    return source.tag.name if isinstance(source, Reference) and source.tag is not None else None


def name_of(source: Reference | LayoutReference | Path) -> str | None:
    """Return the name that a plugin has on a host if it is installed as ``NAME:TAG``, or None without a tag."""
    from mirror.plugin.config.own_name import local_name

    source = source if isinstance(source, Reference | Path) else source.reference
    if not isinstance(source, Reference) or source.tag is None:
        return None
    return local_name(source.repository.name, source.tag.name)
