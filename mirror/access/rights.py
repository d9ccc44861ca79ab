"""What may be done with repositories and with the server, and who may: the question that access control asks."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, Protocol, runtime_checkable

from mirror.oci import Repository
from mirror.oci.errors import MirrorError
from mirror.oci.name_pattern import NameSpan


class AccessAction(Enum):
    """What may be done with a repository; ``operate`` with the server as a whole."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    APPROVE = "approve"
    OPERATE = "operate"


#: What a rule must give to a user by name, and what callers without a login are never given by ``server.anonymous``:
#: to decide about plugins, and to see which hosts pull them.
USERS_ONLY: Final = frozenset({AccessAction.APPROVE, AccessAction.OPERATE})


class Rights(Protocol):
    """What one caller may do."""

    def allows(self, action: AccessAction, repository: Repository | None) -> bool:
        """Whether the caller may do this with the repository; with None, whether with every repository."""
        ...

    def spans(self, action: AccessAction) -> Sequence[NameSpan]:
        """Where the repositories lie with which the caller may do this; others may lie there too."""
        ...

    @property
    def listing(self) -> Rights | None:
        """The rights by which the list of repositories is made: it shows what they pull; None: it may not be asked."""
        ...

    def refusal(self, action: AccessAction, repository: Repository | None) -> MirrorError:
        """The error that says so, and what would have to change."""
        ...


def phrase(action: AccessAction, repository: Repository | None) -> str:
    """What would be done, as a noun phrase: ``pull of acme/driver``, ``operate``."""
    return action.value if repository is None else f"{action.value} of {repository}"


def detail(action: AccessAction, repository: Repository | None) -> dict[str, object]:
    """The same for programs, as the detail of an error."""
    return {"action": action.value} if repository is None else {"name": repository, "action": action.value}


@runtime_checkable
class Guarded(Protocol):
    """What a registry has beside the port where not every caller may do everything with it.

    A server that is about to receive content asks first, so that nothing is received for a caller who may not send it.
    """

    def require(self, action: AccessAction, repository: Repository) -> None:
        """Return where the caller may do this with the repository.

        Raises:
            MirrorError: the caller may not; what :meth:`Rights.refusal` makes.
        """
        ...
