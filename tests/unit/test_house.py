"""The layout of the package: small rooms, unique names, imports without cycles, and documents without dead names."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_MODULES = 15
MOST_LINES = 300
#: Files that play the same part in each room that has them: the parts of the port, and the whole of it.
ROLES = {"reader", "writer", "deleter", "lister", "registry"}
MIGRATIONS = "mirror.store.catalog.migrations"


#: Tests that the documents name: the page, and the file with the name of the test; "" for the whole file.
NAMED_TESTS = [
    (page.name, found)
    for page in (ROOT / "docs").glob("*.md")
    for found in re.findall(
        r"`(?:tests/)?((?:unit|contract|conformance|e2e|torture)/\w[\w/]*\.py)(?:::(\w+))?`", page.read_text()
    )
]


def _modules() -> Mapping[str, ast.Module]:
    files = (path for path in (ROOT / "mirror").rglob("*.py") if path.name != "__init__.py")
    named = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}
    return {name: ast.parse(path.read_text()) for name, path in named.items() if not name.startswith(MIGRATIONS)}


MODULES = _modules()


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _twice(names: list[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def test_a_folder_holds_at_most_15_modules():
    folders = Counter(name.rpartition(".")[0] for name in MODULES)
    assert {folder: count for folder, count in folders.items() if count > MOST_MODULES} == {}


def test_a_module_has_at_most_300_lines():
    lengths = {name: len((ROOT / (name.replace(".", "/") + ".py")).read_text().splitlines()) for name in MODULES}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_the_name_of_a_class_stands_for_one_thing():
    assert (
        _twice([node.name for tree in MODULES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)])
        == []
    )


def test_the_name_of_a_module_stands_for_one_thing():
    assert _twice([stem for name in MODULES if (stem := name.rpartition(".")[2]) not in ROLES]) == []


def test_imports_have_no_cycle_between_modules_or_rooms():
    arrows: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name, tree in MODULES.items():
        for other in _imported(tree):
            if other not in MODULES:
                continue
            here, there = name.split("."), other.split(".")
            shared = next(place for place, pair in enumerate(zip(here, there, strict=False)) if pair[0] != pair[1])
            arrows[".".join(here[:shared])][here[shared]].add(there[shared])
    for folder, graph in arrows.items():
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            pytest.fail(f"{folder}: {' -> '.join(error.args[1])}")


def test_each_exception_from_a_security_rule_has_its_reason():
    bare = re.compile(r"# noqa: (?=[^-]*\bS\d)[\w, ]+$", re.MULTILINE)
    found = {str(path.relative_to(ROOT)): bare.findall(path.read_text()) for path in (ROOT / "mirror").rglob("*.py")}
    assert {path: comments for path, comments in found.items() if comments} == {}


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "GLOSSARY.md"])
def test_the_documents_name_what_exists(document: str):
    text = (ROOT / "docs" / document).read_text()
    rooms = sorted({name.split(".")[1] for name in MODULES})
    named = set(re.findall(rf"`((?:{'|'.join(rooms)})(?:\.\w+)+)`", text))
    assert sorted(name for name in named if not _exists(name)) == []
    paths = set(re.findall(rf"`(?:mirror/)?((?:{'|'.join(rooms)})/[\w/]*(?:\.py)?)`", text))
    assert sorted(path for path in paths if not (ROOT / "mirror" / path).exists()) == []


def test_the_documents_name_tests_that_exist():
    assert sorted(f"{page}: {named}" for page, named in NAMED_TESTS if not _is_test(*named)) == []


@pytest.mark.parametrize(("document", "least"), [("SECURITY.md", 50), ("BUNDLE_TRUST.md", 15)])
def test_each_threat_names_its_test(document: str, least: int):
    page = (ROOT / "docs" / document).read_text()
    threats = re.findall(r"^\| Threat \| .*\n\|[-|]+\n((?:\|.*\n)+)", page, re.MULTILINE)
    rows = "".join(threats).splitlines()
    assert len(rows) >= least
    assert [row for row in rows if not re.search(r"\.py::test_\w+`|^no test: ", row.rpartition(" | ")[2])] == []


def test_the_documents_say_each_thing_once():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    headings = {page.name: _twice(re.findall(r"^##+ .*$", page.read_text(), re.MULTILINE)) for page in pages}
    assert {name: twice for name, twice in headings.items() if twice} == {}
    entries = re.split(r"\n(?=- |#|\n)", (ROOT / "CHANGELOG.md").read_text())
    assert _twice([entry.strip() for entry in entries if entry.strip().startswith("- ")]) == []


def test_docstrings_begin_with_a_verb_or_the_name_of_the_thing():
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    questions = {"what", "which", "who", "whose", "how", "why", "where", "when", "whether"}
    begun = [
        f"{name}: {text.splitlines()[0]}"
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, kinds) and (text := ast.get_docstring(node)) and text.split()[0].lower() in questions
    ]
    assert begun == []


def test_a_folder_of_tests_imports_no_other_one():
    others = {"conformance", "contract", "e2e", "unit"}
    wrong = [
        (str(path.relative_to(ROOT)), node.module)
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tests.")
        if (room := node.module.split(".")[1]) in others and path.relative_to(ROOT / "tests").parts[0] != room
    ]
    assert wrong == []


def test_no_test_imports_from_another_test():
    wrong = [
        (str(path.relative_to(ROOT)), node.module)
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and re.match(r"tests\..*\.test_\w+$", node.module or "")
    ]
    assert wrong == []


def _exists(name: str) -> bool:
    """Return True if ``room.module``, ``room.module.name`` or ``room.Class`` exists."""
    whole = f"mirror.{name}"
    if whole in MODULES or (ROOT / whole.replace(".", "/")).is_dir():
        return True
    owner, _, last = whole.rpartition(".")
    if owner in MODULES:
        return last in _names(MODULES[owner])
    return any(last in _names(tree) for module, tree in MODULES.items() if module.startswith(f"{owner}."))


def _is_test(file: str, name: str) -> bool:
    path = ROOT / "tests" / file
    return path.exists() and (
        not name or re.search(rf"^ *(async )?def {name}\(", path.read_text(), re.MULTILINE) is not None
    )


def _names(tree: ast.Module) -> set[str]:
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}
