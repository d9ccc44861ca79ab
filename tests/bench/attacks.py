"""Attacks by clients and upstreams, and the time that bystanders wait for `GET /v2/` meanwhile."""

from __future__ import annotations

import base64
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests.bench import attackers, bystanders, client, hostile, hostile_upstream, many_repositories
from tests.bench.attackers import Attack, Sent
from tests.bench.content import plugin
from tests.bench.sample import Outcome, percentile
from tests.bench.servers import OURS, Contestant, Server, known
from tests.bench.trial import Load, Trial
from tests.harness.command import run
from tests.harness.mirror import PROGRAM, Mirror

LEFT_ALONE = f"{OURS}, left alone"
WORST_MS = "worst GET /v2/, ms"
LATE_MS = "bystanders themselves late, ms"
WORST_PUSH_MS = "worst small push, ms"
MEDIAN_PUSH_MS = "median small push, ms"
REFUSED_PUSHES = "small pushes refused"
UPLOAD_FOLDERS = "folders in uploads/"
NEW_SERVED = "new connections served, %"
WORST_NEW_MS = "worst GET /v2/ on a new connection, ms"

_REPOSITORIES = 5_000
_INFORMATIONAL = 200_000
_CONNECTIONS = 2_200
_TAGS = 1_000_000
_NO_TAGS = 4_000_000
_CLIENTS = 4
_PLUGINS = 8
_USER, _PASSWORD = "reader", "a long enough password"
_PULLED = "pulled"
#: Measurements take twice as long as in other cases, so that rare stalls have time to happen.
_TIMES_AS_LONG = 2
#: Time that the bystanders are alone with the server before the attack begins.
_BEFORE_SECONDS = 0.5

#: Measures further figures of a server while an attack runs, and returns them after the attack has ended.
Beside = Callable[[Server, float, Future[Mapping[str, float]]], Mapping[str, float]]


def _nothing_beside(_server: Server, _seconds: float, _attack: Future[Mapping[str, float]]) -> Mapping[str, float]:
    return {}


@dataclass(frozen=True, slots=True)
class Scene:
    """An attack and the server that it targets.

    Attributes:
        name: Name in the table.
        attack: The attack.
        sections: Configuration of the server.
        prepare: Prepares the running server.
        upstream: Creates the responses of the server's upstream, or None if the server has no upstream.
        beside: Measures further figures during the attack.
        status: HTTP status that bystanders expect.
    """

    name: str
    attack: Attack
    sections: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[Mirror], None] = lambda _mirror: None
    upstream: Callable[[], hostile_upstream.Answers] | None = None
    beside: Beside = _nothing_beside
    status: int = 200


@contextmanager
def trial() -> Iterator[Trial]:
    """Yield a trial with a fresh server with one worker for each attack, and one that is not attacked."""
    scenes = _scenes()
    loads = {scene.name: _load(scene) for scene in scenes}
    yield Trial([Contestant(scene.name, partial(_serving, scene)) for scene in scenes], loads[LEFT_ALONE], loads)


def _scenes() -> Sequence[Scene]:
    pull, push = {"server": {"anonymous": ["pull"]}}, {"server": {"anonymous": ["pull", "push"]}}
    readers = {
        "server": {"anonymous": []},
        "access": [{"users": [_USER], "repositories": [many_repositories.name(0)], "actions": ["pull"]}],
    }
    manifests = partial(attackers.manifest_puts, contents=hostile.manifests(), clients=_CLIENTS)
    login = base64.b64encode(f"{_USER}:{_PASSWORD}".encode()).decode()
    catalog = Sent("GET", "/v2/_catalog?n=1", headers={"Authorization": f"Basic {login}"})
    lists = partial(attackers.requests, sent=[Sent("GET", f"/v2/{_PULLED}/a/tags/list")])
    begin_upload = Sent("POST", "/v2/attack/uploads/blobs/uploads/", b"")
    return (
        Scene(LEFT_ALONE, attackers.idly, push),
        Scene(f"{_CLIENTS} clients without the right PUT manifests of 4 MiB", manifests, pull),
        Scene(f"{_CLIENTS} clients PUT manifests of 4 MiB", manifests, push),
        Scene(
            "an upstream lists 1 000 000 tags in one page",
            lists,
            upstream=lambda: hostile_upstream.listing(hostile.tag_list(_TAGS)),
        ),
        Scene(
            "an upstream lists 4 000 000 names that are no tags",
            lists,
            upstream=lambda: hostile_upstream.listing(hostile.list_outside_the_grammar(_NO_TAGS)),
        ),
        Scene(
            "2 clients push plugins whose layers of 2 MB unpack to 2 GiB",
            partial(attackers.plugin_pushes, plugins=hostile.plugins(_PLUGINS), clients=2),
            push,
            beside=_small_pushes,
        ),
        Scene(
            f"a user who may read 1 of {_REPOSITORIES} repositories asks for _catalog?n=1",
            partial(attackers.requests, sent=[catalog], clients=_CLIENTS),
            readers,
            _with_many_repositories,
            status=401,
        ),
        Scene(
            f"an upstream sends {_INFORMATIONAL} informational responses",
            partial(attackers.pulls_of_ever_other_tags, repository=f"{_PULLED}/a"),
            upstream=lambda: hostile_upstream.informational(_INFORMATIONAL),
        ),
        Scene(
            "one connection begins uploads",
            partial(attackers.requests, sent=[begin_upload]),
            push,
            beside=_upload_folders,
        ),
        Scene(
            f"one client opens {_CONNECTIONS} connections",
            partial(attackers.idle_connections, most=_CONNECTIONS),
            pull,
            beside=_new_connections,
        ),
    )


@contextmanager
def _serving(scene: Scene) -> Iterator[Server]:
    with ExitStack() as stack:
        sections = dict(scene.sections)
        sections["server"] = {"shutdown_seconds": 1, **sections.get("server", {})}
        if scene.upstream is not None:
            url = stack.enter_context(hostile_upstream.answering(scene.upstream()))
            sections["upstreams"] = {"up": {"url": url, "plain_http": True}}
            sections["proxy"] = [{"from": "up/**", "to": f"{_PULLED}/**"}]
        started = stack.enter_context(Mirror(sections=sections))
        scene.prepare(started)
        yield Server(started.port, known(started.pid), started.config, started.data)


def _load(scene: Scene) -> Load:
    def load(server: Server, seconds: int) -> Outcome:
        length = float(_TIMES_AS_LONG * seconds)
        with (
            attackers.apart() as submit,
            bystanders.asking(server.port, seconds=length, status=scene.status) as waited,
        ):
            time.sleep(_BEFORE_SECONDS)
            left_seconds = length - _BEFORE_SECONDS
            attack = submit(scene.attack, server.port, left_seconds)
            figures = dict(scene.beside(server, left_seconds, attack))
            figures |= attack.result()
            seen = waited()
        measured = {WORST_MS: 1e3 * seen.worst_seconds, LATE_MS: 1e3 * seen.late_seconds}
        return Outcome(seen.asked, length, seen.p50_seconds, seen.p99_seconds, seen.errors, measured | figures)

    return load


def _with_many_repositories(mirror: Mirror) -> None:
    """Add many repositories and a user."""
    many_repositories.add(mirror.data, _REPOSITORIES)
    add_user = [PROGRAM, "user", "add", _USER, "--password-stdin", "--config", str(mirror.config)]
    run(add_user, input_text=f"{_PASSWORD}\n")


def _small_pushes(server: Server, seconds: float, attack: Future[Mapping[str, float]]) -> Mapping[str, float]:
    """Push small plugins one after the other until the attack has ended, for at least `seconds`."""
    taken_seconds: list[float] = []
    refused = 0
    end = time.monotonic() + seconds
    while not attack.done() or time.monotonic() < end:
        # Another size for each plugin, so that every push sends a new layer.
        with tempfile.TemporaryDirectory(prefix="plugin-") as folder:
            packed = plugin(Path(folder), payload_size_bytes=len(taken_seconds) + 1)
        begin = time.monotonic()
        try:
            with server.connected() as connection:
                client.push_plugin(connection, packed, "small/plugin")
        except (client.WrongAnswerError, OSError, HTTPException):
            refused += 1
        taken_seconds.append(time.monotonic() - begin)
    return {
        WORST_PUSH_MS: 1e3 * max(taken_seconds),
        MEDIAN_PUSH_MS: 1e3 * percentile(taken_seconds, 50),
        REFUSED_PUSHES: refused,
    }


def _upload_folders(server: Server, _seconds: float, attack: Future[Mapping[str, float]]) -> Mapping[str, float]:
    """Count the upload sessions that are left when the attack has ended."""
    attack.result()
    if server.data is None:
        raise RuntimeError("the server has no data folder")
    return {UPLOAD_FOLDERS: sum(path.is_dir() for path in (server.data / "uploads").iterdir())}


def _new_connections(server: Server, seconds: float, attack: Future[Mapping[str, float]]) -> Mapping[str, float]:
    """Measure bystanders that open a new connection for each request, in the second half of the attack.

    The attacker opens its connections in the first half.
    """
    half_seconds = seconds / 2
    time.sleep(half_seconds)
    with bystanders.asking(server.port, seconds=half_seconds, kept=False) as waited:
        seen = waited()
    attack.result()
    return {NEW_SERVED: 100 * (1 - seen.errors / seen.asked), WORST_NEW_MS: 1e3 * seen.worst_seconds}
