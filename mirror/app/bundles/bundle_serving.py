"""A bundle that is served as a registry, without an import."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

from mirror.app.bundles.bundle_opening import open_bundle
from mirror.app.bundles.bundle_trusting import named_keys, recorded_keys
from mirror.app.services import has_data_folder, open_store
from mirror.bundle.bundle_age import AgeLimits, judge_age
from mirror.bundle.bundle_errors import BundleIncomplete
from mirror.bundle.format.byte_source import read_range
from mirror.bundle.format.member import STATEMENT
from mirror.bundle.format.member_header import END
from mirror.bundle.reader import BundleReader
from mirror.bundle.stream_status import StreamStatus
from mirror.bundle.trust.trust_decision import TrustedKeys, judge_place, judge_signatures
from mirror.oci.errors import StorageDamaged
from mirror.oci.timestamps import machine_time
from mirror.records.bundle_trust import StreamState
from mirror.registry.port import Registry
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings

_CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class BundleToServe:
    """A bundle that a server shall serve, and what makes it trusted.

    Attributes:
        path: the bundle, the table of its parts, or a part.
        folders: further folders with parts.
        public_keys: files with public keys to trust, in addition to those that the data folder records.
        unsigned: True to serve a bundle that no trusted key has signed.
        allow_rollback: serial of a bundle to serve although the data folder knows a later one.
    """

    path: Path
    folders: Sequence[Path] = ()
    public_keys: Sequence[Path] = ()
    unsigned: bool = False
    allow_rollback: int | None = None


@dataclass(frozen=True, slots=True)
class ServedBundle:
    """A trusted bundle. Holds no open file, so that all workers may share it, and the medium may be changed.

    Attributes:
        reader: reader of the bundle. Its documents are those that were found to be trusted.
        is_signed: True if trusted keys have signed it; False for a bundle that is served unsigned.
        warnings: sentences for the operator.
    """

    reader: BundleReader
    is_signed: bool
    warnings: tuple[str, ...] = ()

    @property
    def registry(self) -> Registry:
        """The bundle as the innermost registry of a read-only server."""
        # ReadOnly, around it, refuses every change, so none arrives here.
        return cast("Registry", self.reader)

    def status(self, at: datetime, limits: AgeLimits) -> StreamStatus:
        """Return the status of the bundle's stream."""
        return StreamStatus.of_served(self.reader.head, at, limits, is_signed=self.is_signed)

    def shown(self) -> dict[str, object]:
        """Return the values for the log."""
        statement = self.reader.head.statement
        return {
            "bundle": self.reader.source.name,
            "stream": statement.stream,
            "serial": statement.serial,
            "created": machine_time(statement.created),
        }

    async def probe(self) -> None:
        """Check that the medium is there: a check of ``/readyz``.

        Raises:
            BundleIncomplete: a part is missing.
            StorageDamaged: the file is another one now.
            StorageFault: the file cannot be read.
        """
        source, layout = self.reader.source, self.reader.head.layout
        if missing := source.missing(0, source.size_bytes):
            raise BundleIncomplete("; ".join(missing))
        statement = next(placed for placed in layout.members if placed.member.path == STATEMENT)
        # It has stream, serial, time and the digest of the names. A signature that is added later does not count.
        beginning = self.reader.head.envelope.beginning(500)
        found = (
            await read_range(source, statement.content_bytes, len(beginning)),
            await read_range(source, source.size_bytes - len(END), len(END)),
        )
        if found != (beginning, END):
            raise StorageDamaged(f"{source.name} is another file than at the start of the server; fix: start it again")


async def open_served(settings: Settings, wanted: BundleToServe) -> ServedBundle:
    """Open a bundle and decide whether it may be served.

    Args:
        settings: limits for its age, and the data folder with recorded trust, which need not exist.
        wanted: the bundle.

    Raises:
        BundleInvalid: the file is not a bundle, or its documents differ from its statement.
        BundleIncomplete: the part with the documents is missing.
        BundleUntrusted: no trusted key has signed the bundle, it is too old, or the data folder knows a later one.
        ConfigurationFault: a file cannot be read.
        StorageFault: the data folder cannot be read, so that nobody knows which plugins it rejects.
    """
    reader = await open_bundle(wanted.path, wanted.folders)
    head, statement, source = reader.head, reader.head.statement, reader.source
    named = await named_keys(wanted.public_keys)
    recorded, known = await _records(settings, statement.stream)
    trust = judge_signatures(head.envelope, head.key_sets, (*recorded, *named), unsigned=wanted.unsigned)
    judge_place(head, trust, trust.after_resets(known), allow_rollback=wanted.allow_rollback)
    age = judge_age(statement.created, _CLOCK.now(), settings.bundles.limits())
    warnings = [*trust.warnings, *([age] if age else []), *source.missing(0, source.size_bytes)]
    if statement.since is not None:
        warnings.append(
            "the bundle is a delta: it lacks what its receiver holds, so that some of its plugins cannot be installed "
            "from here; fix: import it, or have a full bundle made"
        )
    return ServedBundle(reader, trust.root is not None, tuple(warnings))


@contextmanager
def settings_for_bundle(settings: Settings) -> Iterator[Settings]:
    """Yield the settings of a server for a bundle: read-only, and with an empty data folder if there is none.

    Users, decisions about plugins and records come from the data folder, if there is one.
    """
    with ExitStack() as stack:
        server, storage = settings.server.model_copy(update={"read_only": True}), settings.storage
        storage = storage.model_copy(update={"blobs": None})  # the bundle has all content
        if not has_data_folder(storage.path):
            made = stack.enter_context(tempfile.TemporaryDirectory(prefix="plugin-mirror-"))
            storage = storage.model_copy(update={"path": Path(made)})
        yield settings.model_copy(update={"server": server, "storage": storage})


async def _records(settings: Settings, stream: str) -> tuple[tuple[TrustedKeys, ...], StreamState | None]:
    """Return the trusted keys and the state of a stream in the data folder; nothing if there is no folder."""
    if not has_data_folder(settings.storage.path):
        return (), None
    async with open_store(settings, only_reads=True) as store:
        records = store.records.bundle_trust
        return await recorded_keys(records), await records.find_stream(stream)
