"""``plugin-mirror ls``: list the content of the local store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mirror.authoring.held_platforms import HeldPlatforms
from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import RESULTS, print_list, size, wrapped
from mirror.cli.terminal.tables import print_table
from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.records.absent_content import AbsenceReason, AbsentContent, by_manifest

if TYPE_CHECKING:
    from mirror.settings import Settings
    from mirror.store.store_listing import StoreListing

#: Tags of a repository that a terminal shows in the list of all. 'ls NAME' and a pipe have all of them.
_MOST_TAGS: Final = 8


def run(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of a repository. Default: list all repositories.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """List repositories, or the tags of one with kind, digest and size."""
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.store.store_listing import NotListed, StoreListing

    settings = settings_of(config, data)
    repository = None if name is None else Repository.parse(name)
    try:
        with StoreListing.open(settings.storage.path, has_catalog=settings.storage.catalog is None) as listing:
            rows = _listed(listing, repository)
    except NotListed:
        rows = run_to_the_end(_read(settings, repository))
    nothing = "the store is empty; fix: push a plugin to it, or run 'plugin-mirror sync'"
    print_list(rows, _print, nothing, as_json=json)


def _listed(listing: StoreListing, repository: Repository | None) -> list[dict[str, Any]]:
    if repository is None:
        return [_repository(name, tags) for name, tags in listing.repositories().items()]
    absent = by_manifest(listing.absent_content(repository))
    return [_tag(repository, tag, manifest, absent) for tag, manifest in listing.tags(repository)]


async def _read(settings: Settings, repository: Repository | None) -> list[dict[str, Any]]:
    from mirror.app.services import open_store
    from mirror.registry.listing import all_repositories, all_tags

    async with open_store(settings, only_reads=True) as store:
        if repository is None:
            return [
                _repository(name, [tag async for tag in all_tags(store, name)])
                async for name in all_repositories(store)
            ]
        absent = by_manifest(await store.records.absent.absent_content(repository))
        return [
            _tag(repository, tag, await store.get_manifest(repository, tag), absent)
            async for tag in all_tags(store, repository)
        ]


def _repository(name: Repository, tags: Sequence[Tag]) -> dict[str, Any]:
    return {"name": str(name), "tags": [str(tag) for tag in tags]}


def _tag(
    repository: Repository, tag: Tag, manifest: Manifest, absent: Mapping[Digest, tuple[AbsentContent, ...]]
) -> dict[str, Any]:
    platforms = HeldPlatforms.of(manifest, absent.get(manifest.digest, ()))
    return {
        "name": str(repository),
        "tag": str(tag),
        "kind": manifest.kind,
        "digest": str(manifest.digest),
        "size_bytes": manifest.content_size_bytes,
        **platforms.to_json(),
    }


def _platforms(row: dict[str, Any]) -> str:
    """Return the platforms of an index that are here, and what is absent with the reasons."""
    # An attestation has the platform of its subject, so each platform is named once.
    absent = {
        each["digest"] if each["reason"] == AbsenceReason.FOREIGN else each["detail"] or each["digest"]: each["reason"]
        for each in row.get("absent", ())
    }
    without = ", ".join(f"{name} ({reason})" for name, reason in absent.items())
    return "; ".join(part for part in (", ".join(row.get("platforms", ())), without and f"without {without}") if part)


def _print(rows: list[dict[str, Any]]) -> None:
    if "tag" not in rows[0]:
        print_table(RESULTS, ("NAME", "TAGS"), [(row["name"], _tags_shown(row["tags"])) for row in rows], wrap=["TAGS"])
        return
    print_tags(rows)
    # Below the table, which has no room for another column on a narrow terminal.
    for row in rows:
        if platforms := _platforms(row):
            RESULTS.out(wrapped(RESULTS, f"{row['tag']}: {platforms}", 4), highlight=False)


def print_tags(rows: list[dict[str, Any]]) -> None:
    """Print the tags of a repository."""
    print_table(
        RESULTS,
        ("TAG", "KIND", "SIZE", "DIGEST"),
        [(row["tag"], row["kind"], size(row["size_bytes"]), row["digest"]) for row in rows],
        wrap=["DIGEST"],
        right=["SIZE"],
    )


def _tags_shown(tags: list[str]) -> str:
    # A repository may have thousands of tags, and a person wants to see the other repositories too.
    if RESULTS.is_terminal and len(tags) > _MOST_TAGS:
        return f"{', '.join(tags[:_MOST_TAGS])}, and {len(tags) - _MOST_TAGS} more"
    return ", ".join(tags)
