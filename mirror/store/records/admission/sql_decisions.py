"""Decisions of people about plugins, and the fingerprints that rejections cover."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, bindparam, delete, literal, select

from mirror.oci import Digest, Manifest, Repository
from mirror.oci.errors import Denied
from mirror.plugin.policy import fingerprint
from mirror.records.admission.admissions import AdmissionDecision, Rejection, Subject, not_approved
from mirror.records.changes.change import Change, ChangeKind
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.store.catalog import review_rows, rows
from mirror.store.catalog.change_rows import note_change
from mirror.store.catalog.child_rows import KEPT, PLUGIN_BLOBS
from mirror.store.catalog.tables.access_tables import decisions, rejections
from mirror.store.records.admission.sql_held_plugins import SqlHeldPlugins
from mirror.store.store_services import StoreServices

#: Most manifests with the same config that are read when one of them is rejected. The rejection covers others when a
#: client asks for them.
_MOST_ALIKE: Final = 1000

_THIS = and_(decisions.c.repository == bindparam("name"), decisions.c.digest == bindparam("wanted"))
_ONE = select(decisions).where(_THIS)
_LIFTED = delete(decisions).where(_THIS)
_UNCOVERED = delete(rejections).where(
    rejections.c.repository == bindparam("name"), rejections.c.digest == bindparam("wanted")
)
_ANY = select(literal(1)).select_from(rejections).limit(1)
#: Rejections, one row for each fingerprint that they cover.
COVERED = select(rejections.c.fingerprint, decisions).join(
    decisions, and_(decisions.c.repository == rejections.c.repository, decisions.c.digest == rejections.c.digest)
)
_COVERING = COVERED.where(rejections.c.fingerprint.in_(bindparam("fingerprints", expanding=True)))
_HOLDING = select(KEPT.c.repository).where(KEPT.c.digest.in_(bindparam("digests", expanding=True))).distinct()
_ALIKE = (
    select(PLUGIN_BLOBS.c.repository, PLUGIN_BLOBS.c.manifest)
    .where(PLUGIN_BLOBS.c.blob == bindparam("config"))
    .limit(_MOST_ALIKE)
)


class SqlDecisions:
    """Implements :class:`mirror.records.admission.verdicts.Rejections`, and records decisions.

    A rejection is stored with all fingerprints that it is known to cover.
    """

    def __init__(self, services: StoreServices, plugins: SqlHeldPlugins) -> None:
        self._catalog = services.catalog
        self._plugins = plugins

    async def decide(
        self,
        repository: Repository,
        subjects: Sequence[Subject],
        decision: AdmissionDecision,
        *,
        overrule: bool = False,
    ) -> None:
        """Record a decision about plugins of a repository in one transaction. It replaces earlier decisions about them.

        Args:
            repository: the repository.
            subjects: the plugins. The store need not hold them yet.
            decision: the decision.
            overrule: True if an approval lifts rejections of the same content in every repository.

        Raises:
            Denied: the decision approves rejected content without ``overrule``. Nothing is changed.
        """
        # Looked up before the transaction: loading manifests takes time, and other processes wait for a writer's turn.
        alike = {} if decision.approved else {one: await self._alike(one) for one in subjects}

        def work(connection: Connection) -> None:
            for subject in subjects:
                if decision.approved:
                    _lift(connection, repository, subject, overrule=overrule)
            for subject in subjects:
                _put(connection, repository, subject.digest, decision)
                if not decision.approved:
                    cover(connection, repository, subject.digest, {*subject.fingerprints, *alike[subject]})

        await self._catalog.write(work)

    async def holding(self, subject: Subject) -> set[Repository]:
        """Return the repositories that hold the same manifest or a plugin with the same content."""
        digests = {one for one in subject.fingerprints if not fingerprint.is_content_fingerprint(one)}
        wanted = {"digests": sorted(digests | await self._alike(subject))}
        found = await self._catalog.read(lambda connection: connection.execute(_HOLDING, wanted).scalars().all())
        return set(map(Repository, found))

    async def has_rejections(self) -> bool:
        return await self._catalog.read(has_rejections)

    async def extend_rejection(self, rejection: Rejection, fingerprints: Collection[str]) -> None:
        await self._catalog.write(
            lambda connection: cover(connection, rejection.repository, rejection.digest, fingerprints)
        )

    async def _alike(self, subject: Subject) -> set[str]:
        """Return the digests of held plugins with the same config and layers, in any repository."""
        contents = {one for one in subject.fingerprints if fingerprint.is_content_fingerprint(one)}
        if subject.config is None or not contents:
            return set()
        wanted = {"config": str(subject.config)}

        found = await self._catalog.read(lambda connection: connection.execute(_ALIKE, wanted).all())
        return {
            row.manifest
            for row in found
            if content_of(await self._plugins.plugin(Repository(row.repository), Digest.parse(row.manifest)))
            in contents
        }


def content_of(manifest: Manifest | None) -> str | None:
    """Return the fingerprint of a plugin's content if the manifest alone is sufficient to compute it, else None."""
    named = () if manifest is None else fingerprint.content_digests(manifest)
    return fingerprint.content_fingerprint(named) if named and all(one.algorithm == "sha256" for one in named) else None


def find_decision(connection: Connection, repository: Repository, digest: Digest) -> AdmissionDecision | None:
    """Find the decision about a digest in a repository. Return None if there is none."""
    row = connection.execute(_ONE, {"name": repository.name, "wanted": str(digest)}).one_or_none()
    return None if row is None else read_decision(row)


def find_rejection(
    connection: Connection, repository: Repository, digest: Digest, fingerprints: Collection[str]
) -> Rejection | None:
    """Find the rejection that covers one of the fingerprints, with the preference of :func:`foremost`."""
    return foremost(_covering(connection, fingerprints), repository, digest)


def foremost(found: Iterable[Rejection], repository: Repository, digest: Digest) -> Rejection | None:
    """Return the rejection of exactly this digest in this repository, else the latest one, or None for none."""
    return max(
        found, key=lambda one: ((one.repository, one.digest) == (repository, digest), one.decision.at), default=None
    )


def read_rejection(row: Row[Any], matched: Iterable[str]) -> Rejection:
    """Read a rejection from a row of decisions.

    Args:
        row: the row.
        matched: the fingerprints of the plugin in question that the rejection covers.
    """
    return Rejection(Repository(row.repository), Digest.parse(row.digest), read_decision(row), frozenset(matched))


def has_rejections(connection: Connection) -> bool:
    """Check whether there are rejections."""
    return connection.execute(_ANY).scalar_one_or_none() is not None


def cover(connection: Connection, repository: Repository, digest: Digest, fingerprints: Collection[str]) -> None:
    """Add fingerprints to a rejection, unless it was lifted meanwhile. Only inside :meth:`Catalog.write`."""
    known = find_decision(connection, repository, digest)
    if known is not None and not known.approved:
        key = {"repository": repository.name, "digest": str(digest)}
        rows.put(connection, rejections, *({**key, "fingerprint": one} for one in sorted(fingerprints)))


def read_decision(row: Row[Any]) -> AdmissionDecision:
    """Read a decision from a row."""
    return AdmissionDecision(row.approved, row.decided_by, row.decided_at, row.note)


def _covering(connection: Connection, fingerprints: Collection[str]) -> list[Rejection]:
    # A store without rejections needs one look at one row, and not a query for every fingerprint.
    if not fingerprints or not has_rejections(connection):
        return []
    matched: dict[tuple[str, str], tuple[Row[Any], set[str]]] = {}
    for row in connection.execute(_COVERING, {"fingerprints": sorted(fingerprints)}):
        matched.setdefault((row.repository, row.digest), (row, set()))[1].add(row.fingerprint)
    return [read_rejection(row, texts) for row, texts in matched.values()]


def _lift(connection: Connection, repository: Repository, subject: Subject, *, overrule: bool) -> None:
    """Lift the rejections that cover a plugin. Raises Denied if there are any and ``overrule`` is False."""
    for rejection in _covering(connection, subject.fingerprints):
        if not overrule:
            raise Denied(not_approved(repository, subject.digest, rejection))
        connection.execute(_LIFTED, {"name": rejection.repository.name, "wanted": str(rejection.digest)})


def _put(connection: Connection, repository: Repository, digest: Digest, decision: AdmissionDecision) -> None:
    kind = ChangeKind.PLUGIN_APPROVED if decision.approved else ChangeKind.PLUGIN_REJECTED
    before = find_decision(connection, repository, digest)
    told = Change(
        kind,
        f"{repository}@{digest}",
        repository.name,
        before="" if before is None else "approved" if before.approved else "rejected",
        after=str(digest),
        reason=decision.note,
        detail={"by": decision.by},
    )
    note_change(connection, decision.at, told)
    key = {"repository": repository.name, "digest": str(digest)}
    connection.execute(_UNCOVERED, {"name": repository.name, "wanted": str(digest)})
    row = {"approved": decision.approved, "decided_by": decision.by, "decided_at": decision.at, "note": decision.note}
    rows.put(connection, decisions, {**key, **row})
    if not decision.approved:  # an approval keeps a manifest without tags
        review_rows.review(
            connection, ReviewKind.MANIFEST, repository.name, [str(digest)], ReviewCause.DELETED, now=decision.at
        )
