"""``plugin-mirror rm``: delete tags, manifests and repositories of the local store."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import ALERTS, MESSAGES, RESULTS, counted, print_json, wrapped
from mirror.cli.questions import confirmed
from mirror.cli.start.failure_report import lines_of
from mirror.oci.errors import ConfigurationFault, MirrorError, StorageFault

if TYPE_CHECKING:
    from mirror.app.storage.deleting import DeletedName, NameToDelete
    from mirror.records.lifecycle.deletions import RepositoryContent
    from mirror.settings import Settings


def run(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME[:TAG|@DIGEST]", help="A tag, a digest with all its tags, or a whole repository."),
    ],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted. Change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete whole repositories without a question.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Delete tags, content by its digest, or whole repositories.

    The command may run beside a server on the same data folder. Content that
    other tags need stays. The bytes of the rest go later, or with gc.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.storage.deleting import NameToDelete

    settings = settings_of(config, data)
    wanted = [NameToDelete.parse(name) for name in dict.fromkeys(names)]  # a wrong name deletes nothing at all
    whole = [name for name in wanted if name.target is None]
    if whole and not (yes or dry_run):
        _ask(settings, whole)
    deleted, failed = run_to_the_end(_delete(settings, wanted, dry_run=dry_run))
    if json:
        print_json([_as_json(each, dry_run=dry_run) for each in deleted])
    else:
        told: set[str] = set()
        for each in deleted:
            _print(each, told, dry_run=dry_run)
    for error in failed:
        for line in lines_of(error):
            ALERTS.out(f"error: {line}", highlight=False)
    if failed:
        raise typer.Exit(max(exit_codes.of(error) for error in failed))


async def _delete(
    settings: Settings, names: list[NameToDelete], *, dry_run: bool
) -> tuple[list[DeletedName], list[MirrorError]]:
    from mirror.app.storage.deleting import opened_deleter

    deleted: list[DeletedName] = []
    failed: list[MirrorError] = []
    async with opened_deleter(settings, dry_run=dry_run) as deleter:
        for name in names:
            try:
                deleted.append(await deleter.delete(name))
            except StorageFault as error:  # the next name would fail too
                failed.append(error)
                break
            except MirrorError as error:
                failed.append(error)
    return deleted, failed


def _ask(settings: Settings, names: list[NameToDelete]) -> None:
    """Ask before whole repositories are deleted.

    Raises:
        ConfigurationFault: standard input is not a terminal.
        NotFound: a repository holds nothing.
        typer.Exit: the user answered no.
    """
    if not sys.stdin.isatty():
        raise ConfigurationFault(
            f"{names[0]} is a whole repository, and there is no terminal to ask; fix: add --yes, "
            f"or name a tag, such as {names[0]}:latest"
        )
    found = run_to_the_end(_count(settings, names))
    for name, content in found:
        ALERTS.out(f"{name} has {_counted(content)}")
    if not confirmed("Delete all of it?" if len(names) == 1 else "Delete all of them?"):
        MESSAGES.out("nothing was deleted")
        raise typer.Exit(exit_codes.ANSWER_IS_NO)


async def _count(settings: Settings, names: list[NameToDelete]) -> list[tuple[NameToDelete, RepositoryContent]]:
    from mirror.app.storage.deleting import opened_deleter

    async with opened_deleter(settings, dry_run=True) as deleter:
        return [(name, await deleter.content(name)) for name in names]


def _counted(content: RepositoryContent) -> str:
    return f"{counted(content.tags, 'tag')}, {counted(content.manifests, 'manifest')}, {counted(content.blobs, 'blob')}"


def _print(deleted: DeletedName, told: set[str], *, dry_run: bool) -> None:
    """Print what happened to a name, and the notes that are not among those told before."""
    done, name = ("would be deleted" if dry_run else "deleted"), deleted.name
    if deleted.content is not None:
        RESULTS.out(f"{name} {done}: {_counted(deleted.content)}", highlight=False)
    elif deleted.deletion is not None and deleted.deletion.has_gone:
        tags = ", ".join(tag.name for tag in deleted.deletion.tags)
        RESULTS.out(f"{name} {done}" + (f", with its tags {tags}" if tags else ""), highlight=False)
    else:
        RESULTS.out(f"{name} {done}", highlight=False)
    for note in (note for note in deleted.notes if note not in told):
        told.add(note)
        MESSAGES.out(wrapped(MESSAGES, f"  note: {note}", 4), highlight=False)


def _as_json(deleted: DeletedName, *, dry_run: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"name": str(deleted.name), "dry_run": dry_run}
    if deleted.content is not None:
        content = deleted.content
        found |= {"tags": content.tags, "manifests": content.manifests, "blobs": content.blobs}
    if deleted.deletion is not None:
        deletion = deleted.deletion
        found |= {
            "digest": str(deletion.digest),
            "tags": [tag.name for tag in deletion.tags],
            "other_tags": [tag.name for tag in deletion.others],
            "manifest_deleted": deletion.has_gone,
        }
    return found | {"notes": list(deleted.notes)}
