"""``plugin-mirror recover``: rebuild a lost or damaged catalog."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, counted, print_json, wrapped
from mirror.oci import Repository
from mirror.oci.timestamps import machine_time

if TYPE_CHECKING:
    from mirror.app.storage.recovering import Recovery

_MOST_SHOWN: Final = 20


def run(
    repository: Annotated[
        str,
        typer.Option("--repository", metavar="NAME", help="Repository for manifests whose names are not known."),
    ] = "recovered",
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be recovered. Change nothing.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Rebuild a lost or damaged catalog. Stop the server first.

    Names, owners, users and decisions come from names.sqlite, which the
    server writes beside the catalog. Without it, they come from what can be
    read of the damaged catalog. Manifests whose names are not known go into a
    repository of their own, each with the beginning of its digest as its tag.
    The old catalog is kept aside. A catalog that is whole is left alone.

    Exit code 1: names are known whose content is lost.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.storage.recovering import recover

    settings = settings_of(config, data)
    work = recover(settings, Repository.parse(repository), dry_run=dry_run)
    if MESSAGES.is_terminal:
        with MESSAGES.status("rebuilding the catalog"):
            result = run_to_the_end(work)
    else:
        result = run_to_the_end(work)
    if json:
        print_json(_as_json(result))
    elif not result.problem:
        RESULTS.out(f"the catalog of {settings.storage.path} is whole: nothing was changed", highlight=False)
    else:
        _print(result)
    if result.rebuilt.lost_tags or result.found.broken:
        raise typer.Exit(exit_codes.ANSWER_IS_NO)


def _print(result: Recovery) -> None:
    rebuilt, found = result.rebuilt, result.found
    verb = "rebuilt" if result.is_done else "would rebuild"
    RESULTS.out(f"{result.problem}", highlight=False)
    RESULTS.out(
        f"{verb} the catalog: {_repositories(result.repositories)}, {counted(result.tags, 'tag')}", highlight=False
    )
    for sentence in _unknown(result):
        RESULTS.out(wrapped(RESULTS, sentence, 2), highlight=False)
    _list("lost, because the manifest is gone", (f"{name}  {digest}" for name, digest in rebuilt.lost_tags))
    _list("removed, because content of the manifest is gone", found.broken)
    _list("recovered without their names", found.recovered)
    _list("manifests that cannot be recovered", (f"{one}: lacks {what}" for one, what in found.incomplete.items()))
    _list("files with another size than recorded, which were left out", rebuilt.wrong_sizes)
    if result.aside is not None:
        RESULTS.out(f"the old catalog is kept as {result.aside}", highlight=False)


def _unknown(result: Recovery) -> Iterable[str]:
    """Yield sentences about what cannot be known."""
    rebuilt = result.rebuilt
    if rebuilt.taken_at is not None:
        yield (
            f"names are those of {machine_time(rebuilt.taken_at)}: later changes are not known. Tags moved since then "
            "point to their old content, and tags deleted since then may be back"
        )
    elif rebuilt.is_salvaged:
        yield "there is no snapshot of names: names are what could be read of the damaged catalog"
        if rebuilt.unread_tables:
            yield f"these tables could be read in part only: {', '.join(rebuilt.unread_tables)}"
    else:
        yield (
            "there is no snapshot of names, and no catalog that can be read: names, owners, users, decisions and times "
            "are not known"
        )


def _list(heading: str, lines: Iterable[str]) -> None:
    found = list(lines)
    if not found:
        return
    RESULTS.out(f"{heading}: {len(found)}", highlight=False)
    for line in islice(found, _MOST_SHOWN):
        RESULTS.out(f"  {line}", highlight=False)
    if len(found) > _MOST_SHOWN:
        RESULTS.out(f"  and {len(found) - _MOST_SHOWN} more (--json lists all)", highlight=False)


def _repositories(number: int) -> str:
    return "1 repository" if number == 1 else f"{number} repositories"


def _as_json(result: Recovery) -> dict[str, Any]:
    rebuilt, found = result.rebuilt, result.found
    return {
        "problem": result.problem,
        "rebuilt": result.is_done,
        "names_of": machine_time(rebuilt.taken_at),
        "salvaged": rebuilt.is_salvaged,
        "unread_tables": rebuilt.unread_tables,
        "repositories": result.repositories,
        "tags": result.tags,
        "lost_tags": dict(rebuilt.lost_tags),
        "broken": found.broken,
        "recovered": found.recovered,
        "incomplete": found.incomplete,
        "wrong_sizes": rebuilt.wrong_sizes,
        "kept_aside": None if result.aside is None else str(result.aside),
    }
