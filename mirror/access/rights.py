"""Actions on repositories and on the server, and the protocol of a caller's rights."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, Protocol, runtime_checkable

from mirror.oci import Repository
from mirror.oci.errors import MirrorError
from mirror.oci.name_pattern import NameSpan


class AccessAction(Enum):
    """Action on a repository. ``operate`` is an action on the server as a whole."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    APPROVE = "approve"
    OPERATE = "operate"


#: Actions that only an access rule for users can allow, and ``server.anonymous`` never: deciding about plugins
#: (``approve``), and listing the hosts that pull plugins (``operate``).
USERS_ONLY: Final = frozenset({AccessAction.APPROVE, AccessAction.OPERATE})


class Rights(Protocol):
    """Rights of one caller."""

    def allows(self, action: AccessAction, repository: Repository | None) -> bool:
        """Return True if the caller may perform the action on the repository, or on every repository for None."""
        ...

    def basis(self, action: AccessAction, repository: Repository | None) -> str:
        """Return what allows an action that is allowed, for the audit: ``access: rule 2``, ``server.anonymous``."""
        ...

    def spans(self, action: AccessAction) -> Sequence[NameSpan]:
        """Return name ranges that contain every repository on which the caller may perform the action.

        The ranges may contain other repositories too.
        """
        ...

    @property
    def listing(self) -> Rights | None:
        """Rights that filter the list of repositories; None if the caller may not list repositories.

        The list shows the repositories that these rights allow to pull.
        """
        ...

    def refusal(self, action: AccessAction, repository: Repository | None) -> MirrorError:
        """Return the error for an action that is not allowed. The error says what would allow the action."""
        ...


def phrase(action: AccessAction, repository: Repository | None) -> str:
    """Return a noun phrase for an action: ``pull of acme/driver``, ``operate``."""
    return action.value if repository is None else f"{action.value} of {repository}"


def detail(action: AccessAction, repository: Repository | None) -> dict[str, object]:
    """Return the action and the repository name as fields of an error's detail."""
    return {"action": action.value} if repository is None else {"name": repository, "action": action.value}


@runtime_checkable
class Guarded(Protocol):
    """Additional method of a registry whose callers have different rights.

    A server calls this method before it receives content, so that it receives nothing that the caller may not send.
    """

    def require(self, action: AccessAction, repository: Repository) -> None:
        """Return if the caller may perform the action on the repository.

        Raises:
            MirrorError: the caller may not. The error comes from :meth:`Rights.refusal`.
        """
        ...
