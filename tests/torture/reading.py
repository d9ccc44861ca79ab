"""Read everything of a repository as a state: every tag, every manifest and every byte."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tests.harness.packing import digest_of
from tests.torture.connection import Connection
from tests.torture.contents import Content
from tests.torture.model import BrokenPromise, RepositoryState

_PAGE = 3  # small, so that lists have several pages


class Reading:
    """Reads over one connection.

    Attributes:
        checked_bytes: Number of bytes whose digest was verified.
    """

    def __init__(self, connection: Connection) -> None:
        self.checked_bytes = 0
        self._connection = connection

    def state(self, repository: str, blobs: Iterable[Content], manifests: Iterable[Content]) -> RepositoryState:
        """Return the state of a repository: the given blobs and manifests that it holds, and all of its tags."""
        held_blobs = frozenset(one.digest for one in blobs if self._holds(f"/v2/{repository}/blobs", one))
        held = frozenset(one.digest for one in manifests if self._holds(f"/v2/{repository}/manifests", one))
        tags = self.tags(repository, absent=not (held_blobs or held))
        state = RepositoryState(held_blobs, held, frozenset((tag, self.tag(repository, tag)) for tag in tags))
        if any(digest is None for _, digest in state.tags):
            raise BrokenPromise(f"{repository}: a tag is listed but does not exist: {sorted(state.tags)}")
        return state

    def catalog(self) -> list[str]:
        """Return the names of all repositories."""
        return self._list("/v2/_catalog", "repositories", absent=False)

    def tags(self, repository: str, *, absent: bool | None) -> list[str]:
        """Return the tags of a repository.

        With `absent`, expect that the repository does not exist. None accepts both, and returns no tags then.
        """
        return self._list(f"/v2/{repository}/tags/list", "tags", absent=absent)

    def tag(self, repository: str, tag: str) -> str | None:
        """Return the digest of the manifest that a tag serves, or None if the tag does not exist."""
        answer = self._connection.ask("GET", f"/v2/{repository}/manifests/{tag}")
        if answer.status == 404:
            return None
        digest = digest_of(answer.body)
        if (answer.status, answer.headers.get("docker-content-digest")) != (200, digest):
            raise BrokenPromise(f"{repository}:{tag} serves content with digest {digest}, but announces {answer}")
        self.checked_bytes += len(answer.body)
        return digest

    def _holds(self, folder: str, content: Content) -> bool:
        answer = self._connection.ask("GET", f"{folder}/{content.digest}")
        if answer.status == 404:
            return False
        if answer.status != 200 or answer.body != content.data:
            raise BrokenPromise(f"{folder}/{content.digest} serves {len(answer.body)} other bytes: {answer}")
        if answer.headers["content-type"] != content.media_type:
            raise BrokenPromise(f"{folder}/{content.digest} has another media type: {answer}")
        self.checked_bytes += len(answer.body)
        return True

    def _list(self, path: str, member: str, *, absent: bool | None) -> list[str]:
        found: list[str] = []
        last = ""
        while True:
            answer = self._connection.ask("GET", f"{path}?n={_PAGE}{last}")
            expected = {200, 404} if absent is None else {404 if absent else 200}
            if answer.status not in expected:
                raise BrokenPromise(f"{path} answered {answer.status}: {answer.body[:300]!r}")
            if answer.status == 404:
                return []
            page = json.loads(answer.body)[member]
            found += page
            if "link" not in answer.headers:
                break
            last = f"&last={page[-1]}"
        if found != sorted(set(found)):
            raise BrokenPromise(f"{path} is not sorted or has duplicates: {found}")
        return found
