"""Kind of a file in words, from its leading bytes, for messages about files that cannot be used."""

from __future__ import annotations

from typing import Final

#: Leading bytes that :func:`describe_file` needs to recognise every kind.
HEAD_BYTES: Final = 0x8800
# Offset, bytes, kind. The first match decides.
_MAGIC: Final = (
    (0, b"\x7fELF", "a program (ELF)"),
    (0, b"#!", "a script"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (0, b"\x04\x22\x4d\x18", "compressed with lz4"),
    (0, b"\x1f\x9d", "compressed with compress"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"!<arch>\n", "an ar archive, such as a Debian package"),
    (0, b"\xed\xab\xee\xdb", "an RPM package"),
    (0, b"070701", "a cpio archive, such as an initramfs"),
    (0, b"070702", "a cpio archive, such as an initramfs"),
    (0, b"hsqs", "a squashfs file system"),
    (0, b"QFI\xfb", "a disk image (qcow2)"),
    (0, b"KDMV", "a disk image (VMDK)"),
    (0, b"vhdxfile", "a disk image (VHDX)"),
    (0x438, b"\x53\xef", "an ext file system"),
    (0x8001, b"CD001", "a CD image (ISO 9660)"),
    (510, b"\x55\xaa", "a disk image"),
    (0, b"-----BEGIN", "a PEM file"),
)
_SIF: Final = b"SIF_MAGIC"


def describe_file(head: bytes) -> str:
    """Return the kind of a file, as in "FILE is …".

    Args:
        head: the leading :data:`HEAD_BYTES` of the file, or the whole file.
    """
    # A SIF file begins with a line that starts its loader.
    if _SIF in head[:64]:
        return "a Singularity image"
    for offset, magic, kind in _MAGIC:
        if head.startswith(magic, offset):
            return kind
    return _describe_text(head.decode("utf-8", "replace").lstrip())


def _describe_text(text: str) -> str:
    # The end of the leading bytes may cut a character, which gives up to two replacements.
    if "\0" in text or text.count("\ufffd") > 2:
        return "other data"
    if text.startswith(("{", "[")):
        return "a JSON document"
    return "a Dockerfile" if text.upper().startswith(("FROM ", "ARG ", "# SYNTAX")) else "a text"
