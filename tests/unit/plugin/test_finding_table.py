"""The table of findings: each kind is fully described, used by a check, and listed in docs/FINDINGS.md."""

import ast
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from string import Formatter

import pytest

from mirror.plugin.findings.finding_kind import FindingKind, error
from mirror.plugin.findings.finding_table import FINDING_KINDS

ROOT = Path(__file__).parents[3]


def calls() -> Iterator[tuple[str, set[str | None], str]]:
    """Return each call of a finding kind in the code: the name, the arguments, and the place."""
    for path in sorted((ROOT / "mirror").rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        chosen = sorted(
            (node.lineno, target.id, kinds_in(node.value))
            for node in nodes
            if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name)
        )
        for node in (node for node in nodes if isinstance(node, ast.Call)):
            called = kinds_in(node.func)
            if isinstance(node.func, ast.Name) and not called:
                before = [kinds for line, name, kinds in chosen if name == node.func.id and line < node.lineno]
                called = before[-1] if before else []
            for name in called:
                yield name, {keyword.arg for keyword in node.keywords}, f"{path}:{node.lineno}"


def kinds_in(node: ast.expr) -> list[str]:
    """Return the kinds that an expression can have: one constant of the table, or one of two."""
    if isinstance(node, ast.IfExp):
        return kinds_in(node.body) + kinds_in(node.orelse)
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return [name] if name in FINDING_KINDS else []


def test_every_call_gives_the_fields_of_its_kind() -> None:
    wrong = [(where, name) for name, given, where in calls() if given != FINDING_KINDS[name].fields]
    assert not wrong


def test_every_kind_is_made_somewhere() -> None:
    assert {name for name, _, _ in calls()} == set(FINDING_KINDS)


@pytest.mark.parametrize("name", FINDING_KINDS)
def test_a_kind_is_told_whole(name: str) -> None:
    kind = FINDING_KINDS[name]
    values = {field: f"<{field}>" for field in kind.fields}
    found = kind(**values)
    assert (found.code, found.severity, found.engines) == (kind.code, kind.severity, kind.engines)
    told = "\n".join((found.text, found.seen, found.fix))
    assert all(value in told for value in values.values())
    assert "{" not in told
    assert kind.own_words <= kind.fields
    assert kind.code == kind.code.lower().replace("_", "-")


def test_a_field_that_is_missing_or_unknown_is_refused() -> None:
    kind = error(code="a-code", text="{name} is wrong", seen="it fails", fix="correct {name}")
    for fields in ({}, {"name": "x", "more": "y"}, {"other": "x"}):
        with pytest.raises(TypeError, match="a-code has the fields"):
            kind(**fields)


def test_text_from_a_plugin_is_made_printable_and_sentences_of_ours_are_left() -> None:
    kind = error(code="a-code", text="{name}, {names}: {why}", seen="", fix="", own_words=frozenset({"why"}))
    found = kind(name="a\x1b" + 200 * "b", names=["\u202e1", "2"], why="ä" + 200 * "c")
    assert found.text == f"a?{118 * 'b'}..., ?1, 2: ä{200 * 'c'}"


@pytest.mark.parametrize("kind", FINDING_KINDS.values(), ids=FINDING_KINDS)
def test_the_engines_of_a_kind_can_be_read(kind: FindingKind) -> None:
    word, _, version = kind.engines.rpartition(" ")
    assert kind.engines in {"all", "none"} or (word in {"", "since", "before", "up to"} and version[0].isdigit())
    assert not kind.keeps_out or kind.engines != "none"


def test_a_push_is_refused_for_these_findings_alone() -> None:
    """Others are advice: a plugin that some engine can install is served. The changelog names each new refusal."""
    manifest = {
        "files-missing",
        "layer-type",
        "layer-uncompressed",
        "layers-missing",
        "manifest-ambiguous",
        "size-wrong",
    }
    content = {"config-unreadable", "layer-too-large", "layer-unreadable"}
    assert {kind.code for kind in FINDING_KINDS.values() if kind.refuses_push} == manifest | content


def test_the_document_lists_every_kind() -> None:
    """The list is generated from the table. If the two differ, write the expected text to docs/FINDINGS.md."""
    document = (ROOT / "docs" / "FINDINGS.md").read_text()
    assert document[document.index("| Code ") :] == table()


def table() -> str:
    """Return the table of the document, with a row for each code and severity."""
    lines = ["| Code | Severity | Push | Engines | The fault | What to do |", "|---|---|---|---|---|---|"]
    kinds = sorted(FINDING_KINDS.values(), key=lambda kind: kind.code)
    for (code, severity), group in groupby(kinds, lambda kind: (kind.code, kind.severity.value)):
        alike = list(group)
        texts, fixes = (" / ".join(dict.fromkeys(plain(text) for text in texts)) for texts in columns(alike))
        push = "refused" if alike[0].refuses_push else "taken"
        lines.append(f"| `{code}` | {severity} | {push} | {alike[0].engines} | {texts} | {fixes} |")
    return "\n".join(lines) + "\n"


def columns(kinds: list[FindingKind]) -> tuple[list[str], list[str]]:
    return [kind.text for kind in kinds], [kind.fix for kind in kinds]


def plain(template: str) -> str:
    """Return a message template as people read it."""
    parts = Formatter().parse(template)
    return "".join(before + (f"{{{name}}}" if name else "") for before, name, _, _ in parts)
