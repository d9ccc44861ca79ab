"""Filesystems that record or fail their calls, and listings of a data folder."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mirror.store.content.filesystem import Filesystem


def no_fault(_what: str, _path: str) -> None:
    """Let every call succeed."""


class WatchedFilesystem(Filesystem):
    """A filesystem that records each change before it is made.

    Attributes:
        calls: ``(what, path)``, with paths relative to the data folder.
        fault: called with the same arguments before each change. May raise an error instead of the change.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls: list[tuple[str, str]] = []
        self.fault: Callable[[str, str], None] = no_fault

    def _note(self, what: str, path: Path) -> None:
        name = str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)
        self.calls.append((what, name))
        self.fault(what, name)

    def _note_descriptor(self, what: str, descriptor: int) -> None:
        self._note(what, Path(f"/proc/self/fd/{descriptor}").readlink())

    def make_folder(self, folder: Path) -> None:
        self._note("make_folder", folder)
        super().make_folder(folder)

    def create(self, file: Path) -> int:
        self._note("create", file)
        return super().create(file)

    def write(self, descriptor: int, content: bytes, offset: int) -> None:
        try:
            self._note_descriptor("write", descriptor)
        except OSError:
            super().write(descriptor, content[: len(content) // 2], offset)  # a disk that fills up writes a part
            raise
        super().write(descriptor, content, offset)

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        self._note_descriptor("truncate", descriptor)
        super().truncate(descriptor, size_bytes)

    def sync(self, descriptor: int) -> None:
        self._note_descriptor("sync", descriptor)
        super().sync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        self._note("rename", target)
        super().rename(source, target)

    def remove(self, file: Path) -> None:
        self._note("remove", file)
        super().remove(file)

    def remove_folder(self, folder: Path) -> None:
        self._note("remove_folder", folder)
        super().remove_folder(folder)


def files_below(folder: Path) -> list[str]:
    """Files in a folder at any depth, relative to it, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def blob_files(folder: Path) -> list[str]:
    """Return the hex digests of the content in a data folder, with or without a row in the catalog."""
    return sorted(path.name for path in (folder / "blobs").rglob("*") if path.is_file())


def upload_files(folder: Path) -> list[str]:
    """Return the files below ``uploads``."""
    return sorted(str(path.relative_to(folder / "uploads")) for path in (folder / "uploads").rglob("*"))


def open_files(folder: Path) -> list[str]:
    """Return the files below a folder that this process has open, including deleted ones."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor of this listing is closed by now
            target = str(link.readlink())
            if target.startswith(f"{folder}/"):
                found.append(target)
    return found
