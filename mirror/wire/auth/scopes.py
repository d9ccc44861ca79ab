"""Scopes, the permissions of a token (distribution token specification, "Token Scope Documentation").

A scope reads ``TYPE:NAME:ACTION[,ACTION…]``, for example ``repository:contiv/v2plugin:pull,push``. Engines ask for
plugins with the type ``repository(plugin)``. The class in parentheses is not part of the type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from mirror.oci import Repository
from mirror.oci.errors import NameInvalid
from mirror.wire import routes

_SCOPE: Final = re.compile(r"([a-z0-9]+)(?:\(([a-z0-9]+)\))?:([!-~]+):([a-z*]+(?:,[a-z*]+)*|)")
#: Most scopes read from one token request.
MOST_SCOPES: Final = 64


@dataclass(frozen=True, slots=True)
class Scope:
    """A set of actions on one resource.

    Attributes:
        kind: the resource type without its class, such as ``repository`` or ``registry``.
        name: the repository's name, or ``catalog``.
        actions: ``pull``, ``push`` and ``delete``; ``*`` stands for all three.
    """

    kind: str
    name: str
    actions: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Scope:
        """Parse one scope.

        Raises:
            NameInvalid: the text is outside the grammar.
        """
        match = _SCOPE.fullmatch(text)
        if match is None:
            raise NameInvalid(f"{text[:200]!r} is not a scope, such as repository:acme/driver:pull,push")
        return cls(match[1], match[3], tuple(filter(None, match[4].split(","))))

    @property
    def repository(self) -> Repository | None:
        """The repository named by the scope; None for another resource type or an invalid repository name."""
        if self.kind != "repository":
            return None
        try:
            return Repository.parse(self.name)
        except NameInvalid:
            return None

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}:{','.join(self.actions)}"


_PULL: Final = ("pull",)
_PUSH: Final = ("pull", "push")
_DELETE: Final = ("delete",)
#: Scope required to list repositories.
CATALOG: Final = Scope("registry", "catalog", ("*",))


def parse_scopes(texts: Iterable[str]) -> tuple[Scope, ...]:
    """Parse the values of ``scope`` parameters. Each value holds one or more scopes separated by spaces.

    Scopes outside the grammar are dropped. At most :data:`MOST_SCOPES` scopes are read.
    """
    found: list[Scope] = []
    words = (word for text in texts for word in text.split())
    for word in islice(words, MOST_SCOPES):
        try:
            found.append(Scope.parse(word))
        except NameInvalid:
            # One unreadable scope must not fail the request: engines from 20.10 on ask for several at once.
            continue
    return tuple(found)


def repository_scope(repository: Repository, *actions: str) -> str:
    """Return the scope text for ``actions`` (``pull``, ``push``, ``delete``) on a repository."""
    return str(Scope("repository", repository.name, actions))


def needed(method: str, route: routes.Route) -> tuple[Scope, ...]:
    """Return all scopes required by a request, so that a single challenge can name them."""
    match route:
        case routes.PingRoute():
            return ()
        case routes.CatalogRoute():
            return (CATALOG,)
        # A mount reads the source repository, so it also needs the right to pull from there.
        case routes.UploadsRoute(repository=target, source=Repository() as source) if route.mount and source != target:
            return (Scope("repository", target.name, _PUSH), Scope("repository", source.name, _PULL))
        case (
            routes.ManifestRoute()
            | routes.BlobRoute()
            | routes.TagsRoute()
            | routes.ReferrersRoute()
            | routes.UploadsRoute()
            | routes.UploadRoute()
        ):
            return (Scope("repository", route.repository.name, _actions(method, route)),)
        case _:
            raise AssertionError(f"{type(route).__name__} is an end-point without a scope")


def _actions(method: str, route: routes.Route) -> tuple[str, ...]:
    if isinstance(route, routes.UploadsRoute | routes.UploadRoute) or method == "PUT":
        return _PUSH
    return _DELETE if method == "DELETE" else _PULL
