"""Random steps of a client, with the effect of each step on the possible states of a repository."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Event

from tests.harness.command import CompletedRun
from tests.harness.mirror import Mirror
from tests.torture import contents, model, pulled
from tests.torture.client import SHARED_REPOSITORY, SHARED_TAG, Client, OpenUpload
from tests.torture.connection import Answer, Connection, NoAnswer, NotSent
from tests.torture.model import BrokenPromise, Change, Repository
from tests.torture.register import Move

_PAUSE_SECONDS = 0.01
_PULLS = 5
_TAGS = ("1.0", "1.1", "2.0", "latest", "old")


def work(client: Client, mirror: Mirror, stopped: Event, *, pulls: bool) -> None:
    """Run random steps until `stopped` is set. The server may disappear at any moment."""
    with Connection(mirror.port) as connection:
        steps = Steps(client, connection, mirror.command, pulls=pulls)
        while not stopped.is_set():
            try:
                steps.one()
            except NoAnswer:
                stopped.wait(_PAUSE_SECONDS)


class Steps:
    """Steps of a client over one connection, or by a command."""

    def __init__(
        self, client: Client, connection: Connection, command: Callable[..., CompletedRun], *, pulls: bool
    ) -> None:
        self._command = command
        self._pulls = pulls
        self._client = client
        self._choices = client.choices
        self._connection = connection

    def one(self) -> None:
        """Run a random step.

        Raises:
            NoAnswer: If the server is gone. The client has recorded the possible states.
        """
        steps: dict[Callable[[Repository], None], float] = {
            self._push: 30,
            self._mount: 10,
            self._put_manifest: 25,
            self._delete_tag: 6,
            self._delete_manifest: 6,
            self._delete_blob: 8,
            self._read_tag: 8,
            self._move_shared: 10,
            self._remove: 0.4,  # a command takes long to start
            self._pull: 10 if self._pulls else 0,
        }
        repository = self._choices.choice(self._client.repositories)
        if self._client.left_open is not None and self._choices.random() < 0.7:
            self._go_on(self._client.left_open)
            return
        (step,) = self._choices.choices(list(steps), list(steps.values()))
        step(repository)

    def _push(self, repository: Repository) -> None:
        content = self._choices.choice(self._client.blobs)
        way = self._choices.choice(["single", "stream", "whole", "chunks"])
        uploads = f"/v2/{repository.name}/blobs/uploads/"
        change = model.hold_blob(content.digest)
        if way == "whole":
            self._change(repository, change, "push", "POST", f"{uploads}?digest={content.digest}", content.data)
            return
        location = self._expect(202, "POST", uploads, b"").headers["location"]
        upload = OpenUpload(repository, location, content)
        if way == "chunks":
            self._send_chunks(upload)
            self._close(upload)
        else:
            pieces = iter(_cut(content.data, 200_000)) if way == "stream" else content.data
            path = f"{location}?digest={content.digest}"
            upload.sent_bytes, upload.closing = len(content.data), True
            self._client.left_open = upload
            self._change(repository, change, "push", "PUT", path, pieces)
            self._client.left_open = None

    def _send_chunks(self, upload: OpenUpload) -> None:
        # The limits are updated before each request, so that they are right if a kill interrupts the request.
        self._client.left_open = upload
        step = max(1, len(upload.content.data) // self._choices.randint(1, 4))
        for chunk in _cut(upload.content.data[upload.acknowledged_bytes :], step):
            start = upload.acknowledged_bytes
            upload.sent_bytes, upload.closing = start + len(chunk), False
            headers = {"Content-Range": f"{start}-{upload.sent_bytes - 1}"}
            answer = self._expect(202, "PATCH", upload.location, chunk, headers)
            upload.acknowledged_bytes = upload.sent_bytes
            _require(answer.headers["range"] == f"0-{upload.sent_bytes - 1}", f"unexpected range: {answer.headers}")

    def _close(self, upload: OpenUpload) -> None:
        upload.closing = True
        path = f"{upload.location}?digest={upload.content.digest}"
        self._change(upload.repository, model.hold_blob(upload.content.digest), "push", "PUT", path, b"")
        self._client.left_open = None

    def _go_on(self, upload: OpenUpload) -> None:
        """Resume an interrupted upload. The server must hold all acknowledged bytes, and continues from there."""
        answer = self._connection.ask("GET", upload.location)
        self._client.left_open = None
        if answer.status == 404 and upload.closing:
            return
        _require(answer.status == 204, f"unexpected status of an upload session: {answer.status}")
        held = int(answer.headers["range"].removeprefix("0-")) + 1 if answer.headers["range"] != "0-0" else 0
        if held == 0 and upload.acknowledged_bytes <= 1:
            return  # the range "0-0" is ambiguous: one byte or none
        if not upload.acknowledged_bytes <= held <= upload.sent_bytes:
            raise BrokenPromise(f"an upload holds {held} bytes, not {upload.acknowledged_bytes} to {upload.sent_bytes}")
        upload.acknowledged_bytes = held
        self._send_chunks(upload)
        self._close(upload)
        self._client.acknowledged["upload resumed"] += 1

    def _mount(self, repository: Repository) -> None:
        source = next(one for one in self._client.repositories if one is not repository)
        content = self._choices.choice(self._client.blobs)
        certain = content.digest in source.held_blobs()
        possible = any(content.digest in state.blobs for state in source.possible)
        path = f"/v2/{repository.name}/blobs/uploads/?mount={content.digest}&from={source.name}"
        change = model.hold_blob(content.digest)
        answer = self._ask(repository, change, "POST", path, b"")
        if answer.status == 201:
            _require(possible, f"{content.digest} was mounted from {source.name}, which does not hold it")
            repository.done(change)
            self._client.acknowledged["mount"] += 1
            return
        _require(answer.status == 202 and not certain, f"unexpected status of a mount: {answer.status}")
        self._expect(204, "DELETE", answer.headers["location"])

    def _put_manifest(self, repository: Repository) -> None:
        manifest, needs = self._choices.choice(self._client.images)
        first, *others = self._choices.sample(_TAGS, self._choices.choice([1, 1, 1, 2, 3]))
        target, tags = self._choices.choice([(first, [first]), (first, [first]), (manifest.digest, [])])
        query = ""
        if others:
            query, tags = "?" + "&".join(f"tag={tag}" for tag in others), [*tags, *others]
        change = model.put_manifest(manifest.digest, tags, needs)
        path = f"/v2/{repository.name}/manifests/{target}{query}"
        headers = {"Content-Type": manifest.media_type}
        # The server refuses a manifest whose blobs are missing with 400, unlike the other changes with 404.
        self._change(repository, change, "manifest", "PUT", path, manifest.data, headers, refusal=400)

    def _delete_tag(self, repository: Repository) -> None:
        tag = self._choices.choice(_TAGS)
        path = f"/v2/{repository.name}/manifests/{tag}"
        self._change(repository, model.drop_tag(tag), "delete tag", "DELETE", path)

    def _delete_manifest(self, repository: Repository) -> None:
        manifest, _ = self._choices.choice(self._client.images)
        path = f"/v2/{repository.name}/manifests/{manifest.digest}"
        self._change(repository, model.drop_manifest(manifest.digest), "delete manifest", "DELETE", path)

    def _delete_blob(self, repository: Repository) -> None:
        content = self._choices.choice(self._client.blobs)
        # The model does not cover the deletion of blobs that manifests need.
        in_use = {
            digest
            for manifest, needs in self._client.images
            if any(manifest.digest in state.manifests for state in repository.possible)
            for digest in needs
        }
        if content.digest not in in_use:
            path = f"/v2/{repository.name}/blobs/{content.digest}"
            self._change(repository, model.drop_blob(content.digest), "delete blob", "DELETE", path)

    def _remove(self, repository: Repository) -> None:
        """Delete a tag, a manifest or everything by the command `rm`, which goes on if the server is killed."""
        tag, (manifest, _) = self._choices.choice(_TAGS), self._choices.choice(self._client.images)
        name, change = self._choices.choice(
            [
                (f"{repository.name}:{tag}", model.drop_tag(tag)),
                (f"{repository.name}@{manifest.digest}", model.drop_manifest(manifest.digest)),
                (repository.name, model.drop_everything),
            ]
        )
        done = self._command("rm", "--yes", name, check=False)
        if done.exit_code == 1:
            repository.refused(change)
            return
        _require(done.exit_code == 0, f"rm {name}: {done}")
        repository.done(change)
        self._client.acknowledged["rm"] += 1

    def _pull(self, _repository: Repository) -> None:
        """Pull an image through. A collection may come between the manifest and its blobs, but not each time."""
        tag = self._choices.choice([*pulled.IMAGES])
        manifest, blobs = pulled.IMAGES[tag]
        paths = [f"manifests/{tag}", *(f"blobs/{blob.digest}" for blob in blobs)]
        for _ in range(_PULLS):
            answers = [self._connection.ask("GET", f"/v2/{pulled.PULLED_REPOSITORY}/{path}") for path in paths]
            for answer, content in zip(answers, [manifest, *blobs], strict=True):
                whole = answer.status == 200 and answer.body == content.data
                _require(whole or answer.status == 404, f"pull of {content.digest}: {answer}: {answer.body[:300]!r}")
            if all(answer.status == 200 for answer in answers):
                return
        raise BrokenPromise(f"{pulled.PULLED_REPOSITORY}:{tag} cannot be pulled: {answers}")

    def _read_tag(self, repository: Repository) -> None:
        """Read a tag. Any worker must serve a change as soon as one worker has acknowledged the change."""
        tag = self._choices.choice(_TAGS)
        answer = self._connection.ask("HEAD", f"/v2/{repository.name}/manifests/{tag}")
        _require(answer.status in {200, 404}, f"unexpected status of a tag: {answer.status}")
        found = answer.headers["docker-content-digest"] if answer.status == 200 else None
        wanted = {state.tag(tag) for state in repository.possible}
        if found not in wanted:
            raise BrokenPromise(f"{repository.name}:{tag} points to {found}, but only {wanted} are possible")

    def _move_shared(self, _repository: Repository) -> None:
        manifest = contents.index(f"{self._client.number} moves {self._choices.randrange(1_000)}")
        deletes = self._choices.random() < 0.1
        move = Move(None if deletes else manifest.digest, asked=time.monotonic())
        path = f"/v2/{SHARED_REPOSITORY}/manifests/{SHARED_TAG}"
        try:
            if deletes:
                answer = self._connection.ask("DELETE", path)
            else:
                answer = self._connection.ask("PUT", path, manifest.data, {"Content-Type": manifest.media_type})
        except NotSent:
            raise
        except NoAnswer:
            self._client.moves.append(move)
            raise
        if deletes and answer.status == 404:
            return
        _require(
            answer.status == (202 if deletes else 201), f"unexpected response to a tag move: {answer}: {answer.body!r}"
        )
        self._client.moves.append(replace(move, acknowledged=time.monotonic()))
        self._client.acknowledged["shared tag moved"] += 1

    def _change(
        self,
        repository: Repository,
        change: Change,
        kind: str,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
        refusal: int = 404,
    ) -> None:
        answer = self._ask(repository, change, method, path, body, headers)
        if answer.status == refusal:
            repository.refused(change)
            return
        _require(answer.status == (202 if method == "DELETE" else 201), f"{method} {path}: {answer}: {answer.body!r}")
        repository.done(change)
        self._client.acknowledged[kind] += 1

    def _ask(
        self,
        repository: Repository,
        change: Change,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        try:
            return self._connection.ask(method, path, body, headers)
        except NotSent:
            raise  # the change was certainly not executed, so the possible states stay
        except NoAnswer:
            repository.unanswered(change)
            raise

    def _expect(
        self, status: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        answer = self._connection.ask(method, path, body, headers)
        _require(answer.status == status, f"{method} {path}: {answer}: {answer.body[:300]!r}")
        return answer


def _cut(content: bytes, size_bytes: int) -> list[bytes]:
    return [content[start : start + size_bytes] for start in range(0, len(content), size_bytes)]


def _require(true: bool, otherwise: str) -> None:
    if not true:
        raise BrokenPromise(otherwise)
