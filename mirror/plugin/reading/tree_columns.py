"""Tree of a root filesystem as columns of plain JSON values, one column for each field of a node.

A tree may have a hundred thousand nodes. Columns are checked and read as a whole, which is several times as fast as
reading one object for each node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, get_type_hints

from mirror.plugin.reading.typed_values import Form, form_of
from mirror.plugin.rootfs.entry import EntryKind, Node
from mirror.plugin.rootfs.tree import Tree

# The source of the content is gone after the layers were read, and children are rebuilt from names and depths.
_FIELDS: Final = tuple(field.name for field in fields(Node) if field.init)
_TYPES: Final = get_type_hints(Node)
_FORMS: Final[dict[str, Form]] = {name: form_of(_TYPES[name]) for name in _FIELDS if name != "content"}


def write_tree(tree: Tree) -> Iterator[Any]:
    """Yield the parts of a tree as plain values: three columns for its names, then a column for each field of nodes."""
    nodes, numbers = [tree.root], dict[int, int]()
    names: list[str] = []
    depths: list[int] = []
    links: list[list[int]] = []
    for path, node in tree.walk():
        number = numbers.setdefault(id(node), len(nodes))
        if number < len(nodes):
            links.append([len(names), number])
        else:
            nodes.append(node)
        names.append(path.rpartition("/")[2])
        depths.append(path.count("/"))
    yield tree.whole
    yield names
    yield depths
    yield links
    for name, form in _FORMS.items():
        yield _column(form, map(attrgetter(name), nodes))


def read_tree(parts: Iterator[Any]) -> Tree:
    """Return the tree of these parts.

    Raises:
        ValueError, TypeError, LookupError, StopIteration, DigestInvalid: the parts are not those of a tree.
    """
    (whole,) = _of_type([next(parts)], bool)
    names, depths, links = _of_type(next(parts), str), _of_type(next(parts), int), next(parts)
    nodes = _nodes(parts, len(names) + 1)
    root, tree = nodes[0], Tree()
    if root.kind is not EntryKind.FOLDER:
        raise ValueError("the root is not a folder")
    folders = [root]
    for name, depth, node in zip(names, depths, _each(nodes, links, len(names)), strict=True):
        if not 0 <= depth < len(folders) or name in {"", ".", ".."} or "/" in name:
            raise ValueError("a name has no place")
        del folders[depth + 1 :]
        if folders[depth].children.setdefault(name, node) is not node:
            raise ValueError("a name occurs twice")
        if node.kind is EntryKind.FOLDER:
            folders.append(node)
    tree.root, tree.whole = root, whole
    return tree


def _each(nodes: Sequence[Node], links: Iterable[Any], count: int) -> Iterator[Node]:
    """Yield the node of each name: the next one, or an earlier one for a hard link."""
    linked: dict[int, Any] = dict(links)
    ahead = iter(nodes[1:])
    for number in range(count):
        earlier = linked.get(number)
        if earlier is None:
            yield next(ahead)
        elif type(earlier) is int and 0 < earlier < len(nodes) and nodes[earlier].kind is not EntryKind.FOLDER:
            yield nodes[earlier]
        else:
            raise ValueError("a hard link has no target")


def _column(form: Form, values: Iterable[Any]) -> list[Any]:
    """Return the values as they are, or runs of equal values: in most columns, most nodes have the same value."""
    if form.atoms:
        return list(values)
    return [[form.write(value), sum(1 for _ in run)] for value, run in groupby(values)]


def _nodes(parts: Iterator[Any], most: int) -> list[Node]:
    read = {name: _read_column(form, next(parts), most) for name, form in _FORMS.items()}
    nothing = [None] * len(read["kind"])
    return [Node(*values) for values in zip(*(read.get(name, nothing) for name in _FIELDS), strict=True)]


def _read_column(form: Form, column: list[Any], most: int) -> list[Any]:
    if form.atoms:
        return _of_type(column, *form.atoms)
    values: list[Any] = []
    for value, times in column:
        # A damaged number must not make a list that fills the memory.
        if type(times) is not int or not 0 < times <= most - len(values):
            raise ValueError("a run of values is longer than its column")
        values += [form.read(value)] * times
    return values


def _of_type(column: Any, *kinds: type) -> list[Any]:
    """Return a column, all of whose values are exactly of one of these types."""
    if not isinstance(column, list) or not set(map(type, column)) <= set(kinds):
        raise TypeError("a column has a value of another type")
    return column
