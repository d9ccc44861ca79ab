"""Protectors: the reasons for which content stays. Each is one condition on the catalog, and has a name.

The decision about a review evaluates the conditions in the transaction that removes the rows. A condition binds
``name`` (the repository), ``about`` (the digest) and ``now``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
)
from sqlalchemy.sql.visitors import replacement_traverse

from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.store.catalog.child_rows import KEPT
from mirror.store.catalog.tables.access_tables import decisions
from mirror.store.catalog.tables.collection_tables import content_holders, held_content, pins, reviews
from mirror.store.catalog.tables.content_tables import (
    ChildKind,
    derivations,
    incomplete_manifests,
    manifest_children,
    manifests,
    origins,
    repositories,
    repository_blobs,
    tags,
)
from mirror.store.catalog.tables.sync_tables import pulls

_NAME: BindParameter[str] = bindparam("name")
_CHILD = manifest_children.c
_ABOUT: BindParameter[str] = bindparam("about", type_=_CHILD.child.type)
_NOW: BindParameter[Any] = bindparam("now")
_HERE = select(repositories.c.id).where(repositories.c.name == _NAME).scalar_subquery()

#: Causes after which a manifest is not kept for the time that ``storage.untagged`` gives: a rule has decided already.
_DECIDED_BY_RULE: Final = (ReviewCause.EVICTED.value, ReviewCause.RETIRED.value)


@dataclass(frozen=True, slots=True)
class Protector:
    """A reason for which content stays.

    Attributes:
        name: the name in reports, as a phrase that follows "kept by".
        kinds: the kinds of content that it keeps.
        condition: true while the reason holds.
        passes: True if the reason may end without a change of the catalog that writes a review. The review then stays.
    """

    name: str
    kinds: frozenset[ReviewKind]
    condition: ColumnElement[bool]
    passes: bool = False


def _is_tagged(digest: ColumnElement[str]) -> ColumnElement[bool]:
    # An incomplete manifest has its tags in the table of origins. Tags are names without a colon, and digests have one.
    pulled = exists().where(origins.c.repository == _NAME, origins.c.digest == digest, ~origins.c.target.contains(":"))
    is_incomplete = exists().where(incomplete_manifests.c.repository == _NAME, incomplete_manifests.c.digest == digest)
    return or_(exists().where(tags.c.repository_id == _HERE, tags.c.digest == digest), and_(pulled, is_incomplete))


def _has_tagged_referrer(digest: ColumnElement[str]) -> ColumnElement[bool]:
    referrer = manifest_children.alias()
    return exists().where(
        referrer.c.repository == _NAME,
        referrer.c.child == digest,
        referrer.c.kind == ChildKind.SUBJECT.value,
        tags.c.repository_id == _HERE,
        tags.c.digest == referrer.c.manifest,
    )


def _has_derived_copy(digest: ColumnElement[str]) -> ColumnElement[bool]:
    copy = manifests.alias()
    return exists().where(derivations.c.original == digest, copy.c.digest == derivations.c.digest)


def _is_approved(digest: ColumnElement[str]) -> ColumnElement[bool]:
    return exists().where(decisions.c.repository == _NAME, decisions.c.digest == digest, decisions.c.approved.is_(True))


def _is_pinned(digest: ColumnElement[str]) -> ColumnElement[bool]:
    return exists().where(pins.c.repository == _NAME, pins.c.target == digest)


#: Reasons of a manifest itself. A manifest also stays with an index or a subject for which one of them holds.
_ROOTS: Final = {
    "a tag": _is_tagged,
    "a tagged referrer": _has_tagged_referrer,
    "a derived copy": _has_derived_copy,
    "an approval": _is_approved,
    "a pin": _is_pinned,
}


def _kin() -> Select[Any]:
    """Return a manifest, the indexes and subjects with which it stays, theirs, and so on.

    Following the digests upwards, instead of asking what exists, collects manifests that keep one another in a circle.
    """
    kin = select(_ABOUT.label("digest")).cte("kin", recursive=True)
    is_member = and_(_CHILD.kind == ChildKind.MEMBER.value, _CHILD.child == kin.c.digest)
    is_referrer = and_(_CHILD.kind == ChildKind.SUBJECT.value, _CHILD.manifest == kin.c.digest)
    found = case((_CHILD.kind == ChildKind.MEMBER.value, _CHILD.manifest), else_=_CHILD.child)
    above = select(found).where(
        _CHILD.repository == _NAME,
        or_(is_member, is_referrer),
        # A subject need not be held. What is above one that is not would be no reason that ends with a review.
        exists().where(KEPT.c.repository == _NAME, KEPT.c.digest == found),
    )
    return select(kin.union(above).c.digest)


def reviewed_kin() -> Select[Any]:
    """Return the reviews of the manifests with which a manifest stays, and of its referrers."""
    kin = _kin().subquery("reviewed_kin")
    referrers = select(_CHILD.manifest).where(
        _CHILD.repository == _NAME, _CHILD.child == _ABOUT, _CHILD.kind == ChildKind.SUBJECT.value
    )
    return select(reviews.c.digest).where(
        reviews.c.kind == ReviewKind.MANIFEST.value,
        reviews.c.repository == _NAME,
        or_(reviews.c.digest.in_(select(kin.c.digest)), reviews.c.digest.in_(referrers)),
    )


def _has_kept_kin() -> ColumnElement[bool]:
    # A member stays as long as its index, whose readers ask for it next. No index can be in a circle of members.
    is_member = exists().where(
        _CHILD.repository == _NAME, _CHILD.child == _ABOUT, _CHILD.kind == ChildKind.MEMBER.value
    )
    kin = _kin().subquery("kept_kin")
    roots = exists().where(kin.c.digest != _ABOUT, or_(*(holds(kin.c.digest) for holds in _ROOTS.values())))
    return or_(is_member, roots)


def _held_by_work() -> ColumnElement[bool]:
    return exists().where(
        held_content.c.holder == content_holders.c.id,
        content_holders.c.until > _NOW,
        or_(held_content.c.repository == "", held_content.c.repository == _NAME),
        or_(held_content.c.digest == "", held_content.c.digest == _ABOUT),
    )


def last_use() -> Select[Any]:
    """Return the last time that a manifest, or one with which it stays, came, lost a user, or was pulled."""
    kin = _kin().subquery("used_kin")
    about = and_(
        reviews.c.kind == ReviewKind.MANIFEST.value, reviews.c.repository == _NAME, reviews.c.digest == kin.c.digest
    )
    kept = and_(KEPT.c.repository == _NAME, KEPT.c.digest == kin.c.digest)
    pulled = and_(pulls.c.repository == _NAME, pulls.c.target == kin.c.digest)
    return (
        select(func.max(KEPT.c.created_at), func.max(reviews.c.since), func.max(pulls.c.pulled_at))
        .select_from(kin)
        .join(KEPT, kept)
        .join(reviews, about, isouter=True)
        .join(pulls, pulled, isouter=True)
        .where(func.coalesce(reviews.c.cause, "").not_in(_DECIDED_BY_RULE))
    )


_MANIFEST, _BLOB = frozenset({ReviewKind.MANIFEST}), frozenset({ReviewKind.BLOB})

#: All protectors, in the order of reports.
PROTECTORS: Final[Sequence[Protector]] = (
    *(Protector(name, _MANIFEST, holds(_ABOUT)) for name, holds in _ROOTS.items()),
    Protector("its index or subject", _MANIFEST, _has_kept_kin()),
    # Incomplete manifests are among those that name a blob.
    Protector(
        "a manifest",
        _BLOB,
        exists().where(_CHILD.repository == _NAME, _CHILD.child == _ABOUT, _CHILD.kind == ChildKind.BLOB.value),
    ),
    Protector(
        "a manifest that cannot be read",
        _MANIFEST | _BLOB,
        exists().where(
            _CHILD.repository == _NAME,
            _CHILD.child == "",
            _CHILD.kind == ChildKind.UNREAD.value,
            _CHILD.manifest != _ABOUT,
        ),
        passes=True,  # nobody knows what to review once it is gone or read
    ),
    Protector("work under way", frozenset(ReviewKind), _held_by_work(), passes=True),
    Protector(
        "a repository",
        frozenset({ReviewKind.CONTENT}),
        or_(
            exists().where(repository_blobs.c.digest == _ABOUT),
            exists().where(manifests.c.digest == _ABOUT),
            exists().where(incomplete_manifests.c.digest == _ABOUT),
        ),
    ),
)


def first_protector(
    connection: Connection, kind: ReviewKind, repository: str, digest: str, now: datetime
) -> Protector | None:
    """Return the first protector whose condition holds for some content; None if nothing needs the content."""
    wanted = {"name": repository, "about": digest, "now": now}
    found: int = connection.execute(_choice(kind), wanted).scalar_one()
    return None if found < 0 else PROTECTORS[found]


def is_unprotected(kind: ReviewKind, digest: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that nothing protects the content in a row of another statement.

    The statement binds ``name`` and ``now``.

    Args:
        kind: kind of the content, not that of manifests, whose protectors are recursive.
        digest: the column of the statement that has the digest.
    """

    def column_of(element: object, **_more: object) -> Any:
        return digest if isinstance(element, BindParameter) and element.key == _ABOUT.key else None

    return not_(or_(*(replacement_traverse(one.condition, {}, column_of) for one in PROTECTORS if kind in one.kinds)))


@cache
def _choice(kind: ReviewKind) -> Select[Any]:
    """Return the statement that gives the index of the first protector of a kind whose condition holds; -1 for none."""
    choices = [(one.condition, literal(number)) for number, one in enumerate(PROTECTORS) if kind in one.kinds]
    return select(case(*choices, else_=literal(-1)))
