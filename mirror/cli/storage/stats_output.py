"""Output of ``plugin-mirror stats`` for people: one function for each section of the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mirror.cli.printing import RESULTS, counted, size
from mirror.cli.storage.quota_command import print_quotas
from mirror.cli.terminal.tables import print_table
from mirror.oci.timestamps import rounded_span, time_ago

#: Rows of a list that are shown. ``--json`` has more.
_SHOWN: Final = 10


def print_report(report: Mapping[str, Any]) -> None:
    """Print the sections of a report. Sections that are empty are left out."""
    for name, section in report.items():
        if section:
            RESULTS.out(name.replace("_", " ").upper(), style="bold", highlight=False)
            PRINTED[name](section)
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
    rows = [
        (row["name"], str(row["tags"]), str(row["files"]), size(row["size_bytes"]), size(row["own_bytes"]))
        for row in section[:_SHOWN]
    ]
    _print_numbers(("NAME",), ("TAGS", "FILES", "SIZE", "OWN"), rows)


def _traffic(section: Any) -> None:
    rows = [
        (
            row["upstream"] or "none",
            row["rule"],
            str(row["pulls"]),
            size(row["served_bytes"]),
            size(row["fetched_bytes"]),
            size(row["saved_bytes"]),
        )
        for row in section
    ]
    _print_numbers(("UPSTREAM", "RULE"), ("PULLS", "SERVED", "FETCHED", "SAVED"), rows)


def _pulls(section: Any) -> None:
    rows = [
        (
            f"{row['name']}{'@' if ':' in row['target'] else ':'}{row['target']}",
            str(row["pulls"]),
            _ago(row["last_pulled_at"]),
        )
        for row in section[:_SHOWN]
    ]
    _print_numbers(("NAME",), ("PULLS", "LAST PULL"), rows)


def _print_numbers(texts: tuple[str, ...], numbers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    print_table(RESULTS, (*texts, *numbers), rows, right=numbers)


def _collection(section: Any) -> None:
    waiting, doomed, freed = sum(section["waiting"].values()), section["doomed"], section["freed_in_all"]
    RESULTS.out(f"{counted(freed['files'], 'file')} with {size(freed['size_bytes'])} removed so far")
    RESULTS.out(f"{counted(doomed['files'], 'file')} with {size(doomed['size_bytes'])} will be removed")
    RESULTS.out(f"{counted(waiting, 'review')} waiting, of which {section['due']} are due")
    if section["overdue"]:
        RESULTS.out(f"{section['overdue']} due for a day or longer")


def _budget(section: Any) -> None:
    limit, unused, evicted = section["budget_bytes"], section["unused_for_seconds"], section["evicted"]
    within = "without a limit" if limit is None else f"of {size(limit)}"
    RESULTS.out(f"{size(section['used_bytes'])} {within}, in {counted(section['tags'], 'tag')}", highlight=False)
    if unused is not None:
        span = rounded_span(timedelta(seconds=unused))
        RESULTS.out(f"tags go when nobody has pulled them for {span}", highlight=False)
    RESULTS.out(f"{counted(evicted['tags'], 'tag')} with {size(evicted['size_bytes'])} evicted so far")
    if section["emergencies"]:
        RESULTS.out(f"full disks: {section['emergencies']}, the last one {_ago(section['last_emergency_at'])}")


def _scrub(section: Any) -> None:
    last = section["last_finished_at"]
    RESULTS.out("no scrub has ended yet" if last is None else f"the last scrub ended {_ago(last)}")
    for name, run in section["running"].items():
        read = f"{counted(run['files'], 'file')}, {size(run['read_bytes'])} read so far"
        RESULTS.out(f"{name}: since {run['started_at']}, {read}, {run['damaged']} damaged", highlight=False)
    RESULTS.out(f"{counted(section['damaged'], 'file')} damaged now, {section['healed']} healed so far")


def _backup(section: Any) -> None:
    damaged = section["damaged"]
    RESULTS.out(f"{_ago(section['created'])} to {section['target']}", highlight=False)
    lost = f", {damaged} lost" if damaged else ""
    RESULTS.out(f"{counted(section['blobs'], 'blob')} with {size(section['size_bytes'])}{lost}")


def _ago(time: str) -> str:
    return time_ago(datetime.fromisoformat(time), datetime.now(UTC))


#: The function for each section of the report.
PRINTED: Final[Mapping[str, Callable[[Any], None]]] = {
    "content": _content,
    "repositories": _repositories,
    "traffic": _traffic,
    "pulls": _pulls,
    "budget": _budget,
    "collection": _collection,
    "quotas": print_quotas,
    "scrub": _scrub,
    "backup": _backup,
}
