"""Files that start scripts create or change. The root filesystem of the plugin does not show these files."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Final

#: Programs whose last argument is the place of a new file.
_TO_LAST: Final = frozenset(["cp", "mv", "ln", "install", "rsync", "mount", "patchelf"])
#: Programs with the place of a new file among the arguments.
_TO_ANY: Final = frozenset(["tee", "sed"])
_UNPACKER_NAMES: Final = """
    apk apt apt-get ar bunzip2 bzip2 chroot cpio debootstrap dnf dpkg gem git go gunzip gzip ldconfig make
    microdnf npm nsenter patch pip pip3 pivot_root rpm switch_root tar unlzma unshare unsquashfs unxz
    unzip unzstd xz yum zstd
"""
#: Programs that create files with names which the command does not show.
_UNPACKERS: Final = frozenset(_UNPACKER_NAMES.split())


class WrittenPaths:
    """Places that scripts write to."""

    def __init__(self) -> None:
        self._places: set[str] = set()
        self._modes: set[str] = set()
        self._anything = False

    def note_command(self, arguments: Sequence[str | None], folder: str | None) -> None:
        """Record the files that a command creates.

        Args:
            arguments: name and arguments of the command; None stands for an unknown one.
            folder: working folder; None if unknown.
        """
        name = posixpath.basename(arguments[0] or "")
        rest = arguments[1:]
        if name == "busybox":
            name, rest = rest[0] if rest and rest[0] else "", rest[1:]
            self._anything = self._anything or name == "--install"  # links to all programs that are built in
        if name == "mount" and any((word or "").startswith("--make") for word in rest):
            return
        has_target = "-t" in rest and name != "mount"  # the type of a mount
        if name in _UNPACKERS or (name in _TO_LAST and (not rest or rest[-1] is None or has_target)):
            self._anything = True
        elif name in _TO_LAST:
            self.note_place(rest[-1], folder)
        elif name in _TO_ANY:
            for word in rest:
                self.note_place(word, folder)
        elif name in {"curl", "wget"}:
            self._note_download(name, rest, folder)
        elif name == "dd":
            for word in rest:
                self.note_place(word[3:] if word and word.startswith("of=") else None, folder)
        elif name == "chmod":
            self._modes.update(posixpath.join(folder or "/", word) if word else "/" for word in rest)

    def _note_download(self, name: str, arguments: Sequence[str | None], folder: str | None) -> None:
        """Record the file that curl or wget writes: an argument, or a file of any name in the working folder."""
        words = [word or "" for word in arguments]
        for word in words:
            self.note_place(word.partition("=")[2] if word.startswith("--") else word, folder)
            self.note_place(word[2:] if word.startswith(("-o", "-O")) else "", folder)
        flags = [word for word in words if word.startswith("-")]
        is_named = any(("O" in flag and flag[1] != "-") or flag.startswith("--output-document") for flag in flags)
        is_remote = is_named or "--remote-name" in flags if name == "curl" else not is_named and "--spider" not in flags
        if is_remote:
            self.note_place(".", folder)

    def note_place(self, place: str | None, folder: str | None) -> None:
        """Record a place that is written to. An unknown place is ignored."""
        if place and (folder or place.startswith("/")):
            self._places.add(posixpath.normpath(posixpath.join(folder or "/", place)))

    def may_hold(self, *paths: str) -> bool:
        """Return True if a script may create or change one of these files."""
        return self._anything or any(self._covers(self._places, path) for path in paths)

    def may_be_below(self, folder: str) -> bool:
        """Return True if a script may create files in a folder."""
        return self.may_hold(folder) or any(place.startswith(f"{folder}/") for place in self._places)

    def may_change_mode(self, *paths: str) -> bool:
        """Return True if a script may make one of these files executable."""
        return self.may_hold(*paths) or any(self._covers(self._modes, path) for path in paths)

    def _covers(self, places: set[str], path: str) -> bool:
        """Return True if a path or a folder above it is among the places."""
        parts = posixpath.normpath(path).split("/")
        return any("/".join(parts[:count]) in places for count in range(2, len(parts) + 1)) or "/" in places
