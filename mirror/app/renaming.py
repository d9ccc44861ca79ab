"""``tag`` and ``derive``: other names for what is held, with other defaults or without."""

from __future__ import annotations

import getpass
import os
from contextlib import AsyncExitStack

from mirror.app.stores import admitted, checked, layer_reading, not_rejected, open_reader, open_store
from mirror.oci.errors import ConfigurationFault
from mirror.oci.names import Reference, Repository, Tag
from mirror.plugin.derivation import Changes
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.transfer.concurrency import Turns
from mirror.transfer.copy import Destination, Origin
from mirror.transfer.derive import Maker
from mirror.transfer.progress import Progress
from mirror.workshop.derive import Renamed, derive
from mirror.workshop.tag import Named, tag


async def tag_reference(settings: Settings, reference: Reference, repository: Repository, name: Tag) -> Named:
    """Give something in our own store another name.

    Raises:
        ConfigurationFault: the reference is to another registry.
        And as :func:`mirror.workshop.tag.tag`.
    """
    if reference.host is not None:
        raise ConfigurationFault(
            f"{reference} is at {reference.host}, and only what is held here gets another name: "
            "write a rule under mirrors: and run 'plugin-mirror sync', or copy it with 'plugin-mirror derive'"
        )
    async with open_store(settings, must_exist=True) as store:
        return await tag(admitted(store, settings), reference.repository, reference.target, repository, name)


async def derive_reference(
    settings: Settings,
    reference: Reference,
    new: tuple[Repository, Tag],
    changes: Changes,
    progress: Progress,
    *,
    plain_http: bool = False,
) -> Renamed:
    """Make a copy of a plugin with changes, in our own store.

    Args:
        settings: where the store is, and whether plugins are looked at.
        reference: the plugin, here or in another registry.
        new: repository and tag of the copy.
        changes: what is to be different.
        progress: told how layers move.
        plain_http: as for :func:`open_reader`.

    Raises:
        As :func:`mirror.workshop.derive.derive`.
    """
    repository, name = new
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings, must_exist=reference.host is None))
        reader = (
            store
            if reference.host is None
            else await stack.enter_async_context(open_reader(settings, reference.host, plain_http=plain_http))
        )
        layers = layer_reading(settings)
        source = f"{reference.host}/{reference.repository}" if reference.host else str(reference.repository)
        return await derive(
            Origin(reader, reference.repository),
            reference.target,
            Destination(checked(store, store, settings, layers), repository),
            name,
            changes,
            keep=Destination(not_rejected(store), repository),
            source=source,
            maker=Maker(f"user {_user()}", store.records.derivations, layers.of(store), SystemClock().now),
            progress=progress,
            turns=Turns(store.downloads),
        )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run with a number that has no name
        return str(os.getuid())
