"""Quotas: limits on the content of repositories and on what users push. Values, decisions, and the protocol. Pure.

A push is checked in the transaction that stores it. Uploads of more than a little reserve their bytes before they are
received, so that uploads under way cannot pass a quota together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final, Protocol

from mirror.oci import Repository
from mirror.oci.byte_sizes import shown_size
from mirror.oci.errors import QuotaExceeded
from mirror.oci.name_pattern import NamePattern

#: Stands for each user on its own.
EACH_USER: Final = "*"


class QuotaKind(StrEnum):
    """Kind of a limit."""

    BYTES = "bytes"
    MANIFESTS = "manifests"
    TAGS = "tags"

    def shown(self, amount: int) -> str:
        """Return an amount for people, such as ``1.2 GiB``, ``1 tag`` or ``40 tags``."""
        if self is QuotaKind.BYTES:
            return shown_size(amount)
        return f"{amount} {self.value.removesuffix('s') if amount == 1 else self.value}"


@dataclass(frozen=True, slots=True)
class Amounts:
    """Amounts of content, in total."""

    size_bytes: int = 0
    manifests: int = 0
    tags: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(self.size_bytes + other.size_bytes, self.manifests + other.manifests, self.tags + other.tags)

    def of(self, kind: QuotaKind) -> int:
        """Return the amount of one kind."""
        match kind:
            case QuotaKind.BYTES:
                return self.size_bytes
            case QuotaKind.MANIFESTS:
                return self.manifests
            case QuotaKind.TAGS:
                return self.tags


@dataclass(frozen=True, slots=True)
class Quota:
    """A configured quota, for repositories or for users.

    Attributes:
        limits: pairs of kind and limit.
        soft: part of each limit from which pushes get a warning, such as 0.8.
        pattern: the repositories whose content counts together; None for a quota of users.
        user: the user whose pushes count; :data:`EACH_USER` for each user on its own; None for a quota of repositories.
    """

    limits: tuple[tuple[QuotaKind, int], ...]
    soft: float
    pattern: NamePattern | None = None
    user: str | None = None

    @property
    def name(self) -> str:
        """Name of the quota, unique in a configuration: ``repositories acme/**``, ``user anna`` or ``each user``."""
        if self.pattern is not None:
            return f"repositories {self.pattern}"
        return "each user" if self.user == EACH_USER else f"user {self.user}"

    def account(self, user: str | None = None) -> Account:
        """Return the account of the quota; for a quota of each user, that of ``user``."""
        return Account(self, f"user {user}" if self.user == EACH_USER else self.name, user)


@dataclass(frozen=True, slots=True)
class Account:
    """The content that counts against a quota together.

    Attributes:
        quota: the quota.
        scope: name of the account, such as ``repositories acme/**`` or ``user anna``.
        user: the user of the account; None for an account of repositories.
    """

    quota: Quota
    scope: str
    user: str | None = None

    def nearly_used(self, used: Amounts) -> tuple[QuotaKind, ...]:
        """Return the kinds of which the soft part of the limit is used."""
        return tuple(kind for kind, limit in self.quota.limits if used.of(kind) >= self.quota.soft * limit)

    def advice(self, used: Amounts) -> str | None:
        """Return a sentence for a client that pushes while the quota is nearly used; else None."""
        limits = dict(self.quota.limits)
        parts = [f"{kind.shown(used.of(kind))} of {kind.shown(limits[kind])}" for kind in self.nearly_used(used)]
        return f"quota of {self.scope}: {', '.join(parts)} used" if parts else None


@dataclass(frozen=True, slots=True)
class AccountUsage:
    """Usage of an account.

    Attributes:
        account: the account.
        used: what is stored.
        reserved_bytes: bytes that large uploads under way will add.
    """

    account: Account
    used: Amounts
    reserved_bytes: int = 0

    @property
    def part(self) -> float:
        """The largest used part of a limit, such as 0.75. More than 1 if a limit was lowered."""
        return max(
            self.used.of(kind) / limit if limit else float(self.used.of(kind) > 0)
            for kind, limit in self.account.quota.limits
        )

    @property
    def with_reserved(self) -> Amounts:
        """Content that is stored or reserved."""
        return self.used + Amounts(self.reserved_bytes)

    def require(self, added: Amounts) -> None:
        """Check that a push fits. What it does not add to may be above its limit.

        Raises:
            QuotaExceeded: the push does not fit.
        """
        for kind, limit in self.account.quota.limits:
            wanted = added.of(kind)
            if wanted and self.with_reserved.of(kind) + wanted > limit:
                raise self._exceeded(kind, limit, wanted)

    def crossed(self, added: Amounts) -> tuple[QuotaKind, ...]:
        """Return the kinds whose soft limit a push passes."""
        after = self.account.nearly_used(self.with_reserved + added)
        if not after:
            return ()  # the most frequent answer
        before = self.account.nearly_used(self.with_reserved)
        return tuple(kind for kind in after if kind not in before)

    def _exceeded(self, kind: QuotaKind, limit: int, wanted: int) -> QuotaExceeded:
        used, reserved = self.used.of(kind), self.reserved_bytes if kind is QuotaKind.BYTES else 0
        held = f", and uploads under way will add {shown_size(reserved)}" if reserved else ""
        unit = "byte" if kind is QuotaKind.BYTES else kind.value.removesuffix("s")
        more = f"one more {unit} does" if wanted == 1 else f"{kind.shown(wanted)} more do"
        return QuotaExceeded(
            f"quota of {self.account.scope}: {kind.shown(used)} of {kind.shown(limit)} are used{held}; {more} not fit; "
            "fix: delete manifests and tags that nobody needs, or have the operator raise quotas: in the configuration",
            quota=self.account.scope,
            kind=kind.value,
            limit=limit,
            used=used,
            reserved=reserved,
            wanted=wanted,
        )


class QuotaRules:
    """The configured quotas.

    A push must fit in every quota whose pattern matches its repository. Of the quotas of users, the first one that
    names the user applies.
    """

    def __init__(self, quotas: Iterable[Quota]) -> None:
        self.quotas = tuple(quotas)
        # Pushes go to the same few repositories again and again.
        self.accounts = lru_cache(maxsize=4096)(self._accounts)

    def account_of(self, user: str) -> Account | None:
        """Return the account of a user, or None if no quota is for the user."""
        found = next((quota for quota in self.quotas if quota.user in {user, EACH_USER}), None)
        return None if found is None else found.account(user)

    def _accounts(self, repository: Repository, user: str | None) -> tuple[Account, ...]:
        of_repository = (
            quota.account()
            for quota in self.quotas
            if quota.pattern is not None and quota.pattern.match(repository) is not None
        )
        of_user = None if user is None else self.account_of(user)
        return (*of_repository, *(() if of_user is None else (of_user,)))


class Seen(Protocol):
    """The usage of an account as a decision has seen it.

    Attributes:
        at_seconds: the time at which the usage was read, by the monotonic clock.
    """

    @property
    def at_seconds(self) -> float: ...


@dataclass(slots=True, eq=False)
class Push:
    """A change that a client makes, as its transaction sees it.

    Attributes:
        user: the user who pushes; None for an anonymous client.
        accounts: the accounts in which the push must fit.
        upload: id of the upload whose reservation the change uses up; empty for none.
        seen: the knowledge that the last transaction used, by scope. Belongs to the records.
        passed: soft limits that the push passes.
        used: usage after the push, by account.
    """

    user: str | None
    accounts: Sequence[Account] = ()
    upload: str = ""
    seen: dict[str, Seen] = field(default_factory=dict)
    passed: list[tuple[Account, QuotaKind]] = field(default_factory=list)
    used: dict[Account, Amounts] = field(default_factory=dict)

    def advice(self) -> Iterator[str]:
        """Yield a sentence for each quota that is nearly used."""
        for account, used in self.used.items():
            if (sentence := account.advice(used)) is not None:
                yield sentence


class QuotaBook(Protocol):
    """Records of the usage of accounts, shared by all processes on the data folder."""

    def pushing(self, push: Push) -> AbstractContextManager[None]:
        """Mark the changes of a block as a push. A change that does not fit raises QuotaExceeded, and is not made."""
        ...

    async def know(self, push: Push) -> None:
        """Read the usage of accounts that are not known or have been known for long. Cheap if there are none."""
        ...

    async def learn(self, push: Push) -> bool:
        """Read the usage again after a refusal, if it may have shrunk. Return True if the push may be tried again."""
        ...

    async def require_room(self, push: Push) -> None:
        """Check that a byte fits, as far as this process knows. Raises QuotaExceeded."""
        ...

    async def reserve(self, push: Push, size_bytes: int) -> None:
        """Reserve the bytes of the upload ``push.upload``, in place of what is reserved for it already.

        Raises:
            QuotaExceeded: the bytes do not fit. An earlier reservation stays.
        """
        ...

    async def release(self, upload: str) -> None:
        """End the reservations of an upload."""
        ...

    async def usages(self, rules: QuotaRules) -> list[AccountUsage]:
        """Return the usage of all accounts, in the order of the quotas, and of the names of users."""
        ...
