"""``plugin-mirror pin``, ``unpin`` and ``pins ls``: keep tags and manifests from being removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, print_json
from mirror.cli.terminal.tables import print_table
from mirror.oci import Digest, Reference, Repository, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.oci.timestamps import time_ago
from mirror.records.lifecycle.pins import Pin
from mirror.runtime.clock import SystemClock
from mirror.runtime.os_user import os_user_name

if TYPE_CHECKING:
    from mirror.settings import Settings

ReferenceArgument = Annotated[
    str, typer.Argument(metavar="REF", help="NAME:TAG or NAME@DIGEST in the local store.", show_default=False)
]


def pin(
    reference: ReferenceArgument,
    *,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Reason for the pin, shown with it.")] = "",
    by: Annotated[
        str | None, typer.Option("--by", metavar="WHO", help="Name of the person who pins. Default: the login name.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Keep a tag or a manifest until it is unpinned.

    Nothing deletes it or drops it: no client, no mirror rule, no retention and
    no budget. A pinned tag may still be moved by a push or by its upstream; pin
    the digest to keep the content.
    """
    repository, target = _named(reference)
    made = Pin(repository, target, by or os_user_name(), SystemClock().now(), note)
    from mirror.app.services import open_store

    async def work() -> None:
        async with open_store(settings_of(config, data), must_exist=True) as store:
            await store.records.pins.pin(made)

    run_to_the_end(work())
    if json:
        print_json(made.to_json())
    else:
        RESULTS.out(f"{made.name} is pinned", highlight=False)


def unpin(
    reference: ReferenceArgument,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Remove the pin of a tag or a manifest. Exit code 1: there is no such pin."""
    repository, target = _named(reference)
    from mirror.app.services import open_store

    async def work() -> Pin:
        async with open_store(settings_of(config, data), must_exist=True) as store:
            return await store.records.pins.unpin(repository, target)

    removed = run_to_the_end(work())
    if json:
        print_json(removed.to_json())
    else:
        RESULTS.out(f"{removed.name} is no longer pinned", highlight=False)


def list_(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Only the pins of this repository.")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """List the pins of all repositories, or of one."""
    repository = None if name is None else Repository.parse(name)
    found = run_to_the_end(_read(settings_of(config, data), repository))
    if json:
        print_json([one.to_json() for one in found])
    elif found:
        now = SystemClock().now()
        rows = [(one.name, time_ago(one.at, now), one.by, one.note) for one in found]
        print_table(RESULTS, ("NAME", "PINNED", "BY", "NOTE"), rows, wrap=["NOTE"])
    else:
        MESSAGES.out("nothing is pinned")


async def _read(settings: Settings, repository: Repository | None) -> Sequence[Pin]:
    from mirror.app.services import open_store

    async with open_store(settings, only_reads=True) as store:
        return await store.records.pins.pins(repository)


def _named(text: str) -> tuple[Repository, Tag | Digest]:
    parsed = Reference.parse(text)
    if parsed.host is not None:
        raise ConfigurationFault(f"{text} is in another registry; fix: name a tag or digest of the local store")
    return parsed.repository, parsed.target
