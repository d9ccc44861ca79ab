"""What may be done with repositories, and who may: the question that access control asks."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol, runtime_checkable

from mirror.oci.errors import MirrorError
from mirror.oci.name_pattern import NameSpan
from mirror.oci.names import Repository


class Action(Enum):
    """What may be done with a repository."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"


class Rights(Protocol):
    """What one caller may do."""

    def allows(self, action: Action, repository: Repository | None) -> bool:
        """Whether the caller may do this with the repository; with None, whether with every repository."""
        ...

    def spans(self, action: Action) -> Sequence[NameSpan]:
        """Where the repositories lie with which the caller may do this; others may lie there too."""
        ...

    @property
    def listing(self) -> Rights | None:
        """The rights by which the list of repositories is made: it shows what they pull; None: it may not be asked."""
        ...

    def refusal(self, action: Action, repository: Repository) -> MirrorError:
        """The error that says so, and what would have to change."""
        ...


@runtime_checkable
class Guarded(Protocol):
    """What a registry has beside the port where not every caller may do everything with it.

    A server that is about to receive content asks first, so that nothing is received for a caller who may not send it.
    """

    def require(self, action: Action, repository: Repository) -> None:
        """Return where the caller may do this with the repository.

        Raises:
            MirrorError: the caller may not; what :meth:`Rights.refusal` makes.
        """
        ...
