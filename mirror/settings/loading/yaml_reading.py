"""Read YAML (and JSON, which is YAML) into texts, lists and mappings, with the line of each key and item.

Each value is the text as it is written. YAML would read the tag ``1.10`` as 1.1, the name ``no`` as false, and the
address ``22:22`` as the number 1342. The setting decides what its text means.
"""

from __future__ import annotations

import codecs
import errno
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml
from yaml.reader import Reader

from mirror.oci.errors import ConfigurationFault
from mirror.settings.loading.empty_values import GLUED

#: Largest file that is read, in bytes.
MAX_FILE_BYTES: Final = 4 * 1024 * 1024
#: Most values of a file. An alias repeats a value under another key, and its copies multiply.
_MOST_VALUES: Final = 200_000
_DEEPEST: Final = 32

#: Names of pipes and devices that are read: standard input, ``<(…)`` of shells, and a file without content.
_OPEN_ONES: Final = re.compile("/dev/(?:stdin|null|fd/[0-9]+)|/proc/(?:self|[0-9]+)/fd/[0-9]+")

#: Keys and numbers of items from the root to a value.
Place: TypeAlias = tuple[str | int, ...]

_TAG: Final = "tag:yaml.org,2002:"
_NULL, _MERGE = f"{_TAG}null", f"{_TAG}merge"
#: Kinds of values that YAML recognizes without a word of the author.
_PLAIN_TAGS: Final = frozenset(
    _TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "yaml", "merge", "seq", "map")
)


@dataclass(frozen=True)
class YamlDocument:
    """The content of a file.

    Attributes:
        value: texts, lists, mappings and None, nested.
        lines: line of each key and item by its place, from 1.
    """

    value: Any
    lines: Mapping[Place, int]


def read_file(path: Path) -> YamlDocument:
    """Read a file.

    Raises:
        ConfigurationFault: the file cannot be read, or is not YAML.
    """
    try:
        with open(path, "rb", opener=_open) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ConfigurationFault(
            f"{path}: cannot be read: {reason}, fix: name a file that this user can read"
        ) from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigurationFault(f"{path}: the file has more than {MAX_FILE_BYTES} bytes, fix: name a configuration")
    return read_yaml(content, str(path))


def _open(path: str, flags: int) -> int:
    """Open a file, and a pipe or device only if it has one of the names for open ones."""
    if _OPEN_ONES.fullmatch(path):
        return os.open(path, flags)
    # The opening of a pipe would otherwise wait for a writer.
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is a pipe or device")


def read_yaml(content: bytes | str, name: str, most_values: int = _MOST_VALUES) -> YamlDocument:
    """Read a document.

    Args:
        content: the content of a file, or the value of a variable.
        name: the file or variable, for messages.
        most_values: most keys, items and values that are read.

    Raises:
        ConfigurationFault: the content is not YAML. The message begins with ``name``, a colon, and the line if there
            are several.
    """
    text = _decoded(content, name) if isinstance(content, bytes) else content
    reading = _NodeReading(name, isinstance(content, bytes), most_values)
    if bad := Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        raise reading.fault(line, "there is a control character", "remove it; it may be invisible in an editor")
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        return YamlDocument(None if node is None else reading.value(node, ()), reading.lines)
    except yaml.YAMLError as error:
        from mirror.settings.loading.yaml_faults import what_is_wrong  # late: most files have no fault

        # Without the error of PyYAML, which has lines of the file. --debug would print them.
        raise reading.fault(*what_is_wrong(error, text)) from None
    except (ValueError, OverflowError) as error:
        # PyYAML does not check the number in an escape sequence or in a directive.
        raise reading.fault(
            None, "a number after a backslash or % is too large", "write the character itself"
        ) from error
    except RecursionError as error:
        raise reading.too_deep(None) from error


def _decoded(content: bytes, name: str) -> str:
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)) or content[:4].count(0) > 2:
        raise ConfigurationFault(f"{name}:1: the file is in UTF-32, fix: save it in UTF-8")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:2]:
        raise ConfigurationFault(f"{name}:1: the file is in UTF-16, fix: save it in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise ConfigurationFault(
            f"{name}:{line}: the byte 0x{byte:02x} is not UTF-8, as in a file in Latin-1, fix: save the file in UTF-8"
        ) from error


class _NodeReading:
    """The values of one document, and their lines."""

    def __init__(self, name: str, has_lines: bool, most_values: int) -> None:  # noqa: FBT001
        self.lines: dict[Place, int] = {}
        self._name, self._has_lines, self._most_values, self._count = name, has_lines, most_values, 0

    def fault(self, line: int | None, told: str, fix: str) -> ConfigurationFault:
        where = f"{self._name}:{line}" if line is not None and self._has_lines else self._name
        return ConfigurationFault(f"{where}: {told}, fix: {fix}")

    def too_deep(self, line: int | None) -> ConfigurationFault:
        return self.fault(line, "the file is nested too deeply", "look for an anchor (&) that contains its alias (*)")

    def value(self, node: yaml.Node, place: Place) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(place, line)
        self._count += 1
        if self._count > self._most_values:
            raise self.fault(
                line, f"the file has more than {self._most_values} values", "repeat fewer aliases (*) of anchors (&)"
            )
        if len(place) > _DEEPEST:
            raise self.too_deep(line)
        if node.tag not in _PLAIN_TAGS:
            raise self.fault(
                line, "a tag (!) has no meaning here", "write the value in quotes if its ! is a part of it"
            )
        if isinstance(node, yaml.ScalarNode):
            return None if node.tag == _NULL else self._text(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*place, number)) for number, item in enumerate(node.value)]
        return self._mapping(node, place)

    def _text(self, node: yaml.ScalarNode) -> str:
        text: str = node.value
        # Only an escape sequence can name them: no process gets the one, and no file the other.
        if "\0" in text or (not text.isascii() and re.search("[\ud800-\udfff]", text)):
            raise self.fault(
                node.start_mark.line + 1, "a value has a character that is no text", "remove the \\0 or \\u"
            )
        return text

    def _mapping(self, node: yaml.Node, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key, item in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise self.fault(line, "a key is in brackets or braces", "write a value that begins with { in quotes")
            if key.tag == _MERGE:
                merged += item.value if isinstance(item, yaml.SequenceNode) else [item]
                continue
            name = self._text(key)
            if name in found:
                from mirror.settings.loading.shown_keys import shown_unknown_key

                raise self.fault(line, f"the key {shown_unknown_key(name)} is given twice", "keep one of the two")
            if isinstance(item, yaml.ScalarNode) and item.style is None and GLUED.match(item.value):
                line = item.start_mark.line + 1  # below its key: it is perhaps a key, too
            self.lines.setdefault((*place, name), line)
            found[name] = self.value(item, (*place, name))
        for section in merged:
            if not isinstance(section, yaml.MappingNode):
                line = section.start_mark.line + 1
                raise self.fault(
                    line, "<<: takes the keys of a section", "write <<: *NAME with the anchor of a section"
                )
            # Keys of the section itself, and their lines, have priority.
            found = {**self._mapping(section, place), **found}
        return found
