"""Names of content in OCI image layouts. Apart from the reader, because most commands only ask if they got one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mirror.oci import Reference

_MARK: Final = ".tar:"


@dataclass(frozen=True, slots=True)
class LayoutReference:
    """``FILE.tar:NAME[:TAG]``, the name of content in a layout.

    Attributes:
        file: path of the layout.
        reference: name of the content in the layout.
    """

    file: Path
    reference: Reference

    @classmethod
    def parse(cls, text: str) -> LayoutReference | None:
        """Parse the name of content in a layout. Return None if the text contains no ``.tar:``.

        Raises:
            NameInvalid, DigestInvalid: the text after the file is not a valid reference.
        """
        file, mark, name = text.partition(_MARK)
        return cls(Path(f"{file}.tar").expanduser(), Reference.parse(name)) if mark else None

    def __str__(self) -> str:
        return f"{self.file}:{self.reference}"
