"""Output of ``plugin-mirror stats`` for people: one function for each section of the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mirror.cli.printing import RESULTS, counted, new_table, size
from mirror.cli.storage.quota_command import print_quotas
from mirror.oci.timestamps import time_ago

#: Rows of a list that are shown. ``--json`` has more.
_SHOWN: Final = 10


def print_report(report: Mapping[str, Any]) -> None:
    """Print the sections of a report. Sections that are empty are left out."""
    for name, section in report.items():
        if section:
            RESULTS.out(name.replace("_", " ").upper(), style="bold", highlight=False)
            _PRINTED.get(name, _print_values)(section)
            RESULTS.out()


def _content(section: Any) -> None:
    RESULTS.out(
        f"{counted(section['tags'], 'tag')} and {counted(section['manifests'], 'manifest')} in "
        f"{_repositories_of(section['repositories'])}"
    )
    RESULTS.out(f"{counted(section['files'], 'file')} with {size(section['size_bytes'])}")
    RESULTS.out(f"{size(section['shared_bytes'])} are shared, which saves {size(section['saved_bytes'])}")
    if section["unused_bytes"]:
        RESULTS.out(f"{size(section['unused_bytes'])} belong to no manifest, and may be collected")


def _repositories_of(number: int) -> str:
    return "1 repository" if number == 1 else f"{number} repositories"


def _repositories(section: Any) -> None:
    table = new_table("NAME", "TAGS", "FILES", "SIZE", "OWN")
    for row in section[:_SHOWN]:
        table.add_row(row["name"], str(row["tags"]), str(row["files"]), size(row["size_bytes"]), size(row["own_bytes"]))
    RESULTS.print(table)


def _traffic(section: Any) -> None:
    table = new_table("UPSTREAM", "RULE", "PULLS", "SERVED", "FETCHED", "SAVED")
    for row in section:
        numbers = (size(row["served_bytes"]), size(row["fetched_bytes"]), size(row["saved_bytes"]))
        table.add_row(row["upstream"] or "none", row["rule"], str(row["pulls"]), *numbers)
    RESULTS.print(table)


def _pulls(section: Any) -> None:
    table, now = new_table("NAME", "PULLS", "LAST PULL"), datetime.now(UTC)
    for row in section[:_SHOWN]:
        separator = "@" if ":" in row["target"] else ":"
        name = f"{row['name']}{separator}{row['target']}"
        table.add_row(name, str(row["pulls"]), time_ago(datetime.fromisoformat(row["last_pulled_at"]), now))
    RESULTS.print(table)


def _collection(section: Any) -> None:
    waiting, doomed, freed = sum(section["waiting"].values()), section["doomed"], section["freed_in_all"]
    RESULTS.out(f"{counted(freed['files'], 'file')} with {size(freed['size_bytes'])} removed so far")
    RESULTS.out(f"{counted(doomed['files'], 'file')} with {size(doomed['size_bytes'])} will be removed")
    RESULTS.out(f"{counted(waiting, 'review')} waiting, of which {section['due']} are due")
    if section["overdue"]:
        RESULTS.out(f"{section['overdue']} due for a day or longer")


def _print_values(section: Any, indent: str = "") -> None:
    """Print a section without a form of its own: a name and a value on each line."""
    for name, value in section.items() if isinstance(section, Mapping) else enumerate(section, 1):
        shown = str(name).replace("_", " ")
        if isinstance(value, (Mapping, list)):
            RESULTS.out(f"{indent}{shown}:", highlight=False)
            _print_values(value, f"{indent}  ")
        elif isinstance(value, int) and str(name).endswith("bytes"):
            RESULTS.out(f"{indent}{shown.removesuffix(' bytes')}: {size(value)}", highlight=False)
        else:
            RESULTS.out(f"{indent}{shown}: {'none' if value is None else value}", highlight=False)


_PRINTED: Final[Mapping[str, Callable[[Any], None]]] = {
    "content": _content,
    "repositories": _repositories,
    "traffic": _traffic,
    "pulls": _pulls,
    "collection": _collection,
    "quotas": print_quotas,
}
