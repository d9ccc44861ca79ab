"""Services of a process that replace one another while clients are connected."""

from __future__ import annotations

import asyncio
import io
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from structlog.testing import capture_logs

from mirror.app import live_service
from mirror.app.configuration.configuration_state import ConfigurationHolder
from mirror.app.configuration.process_parts import SharedParts, shared_parts
from mirror.app.configuration.serving_series import allocate_shared_metrics
from mirror.app.live_service import LiveService
from mirror.app.tls.tls_listening import listeners_of
from mirror.app.worker import Worker
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.runtime.logs import LogLines
from mirror.runtime.metrics.shared_metrics import SharedMetrics
from mirror.server.http_server import listen, serving
from mirror.settings import Settings, load
from tests.support.served import MANIFEST, REPOSITORY, TAG, digest, put_plugin
from tests.support.waiting import until

NOW = datetime(2026, 11, 28, 18, 28, 40, tzinfo=UTC)
MANIFEST_PATH = f"/v2/{REPOSITORY}/manifests/{TAG}"
BLOB = os.urandom(200_000)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class LevelLog:
    """A log of which only the level matters."""

    level = ""

    def set_level(self, level: str) -> None:
        self.level = level


@dataclass
class Process:
    """A serving process, and a client with a connection to it."""

    live: LiveService
    shared: SharedParts
    configuration: ConfigurationHolder
    log: LevelLog
    client: aiohttp.ClientSession
    requests: list[dict[str, object]]

    async def reload(self, settings: Settings) -> str:
        """Reload, and return the reason of a refusal."""
        prepared, refusal = await self.live.try_to_prepare(settings)
        state = self.configuration.state
        self.live.end_reload(
            prepared, state.refused(refusal, NOW) if refusal else state.accepted(settings, ("server.listen",), NOW)
        )
        return refusal

    async def status(self, method: str, path: str, **more: Any) -> int:
        async with self.client.request(method, path, **more) as answer:
            await answer.read()
            return answer.status

    async def metrics(self) -> dict[str, float]:
        async with self.client.get("/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def settings_of(folder: Path, **more: Any) -> Settings:
    return load(flags={"storage": {"path": str(folder / "data")}, **more})


@asynccontextmanager
async def running(settings: Settings, shared_metrics: SharedMetrics | None = None) -> AsyncIterator[Process]:
    listener, log, requests = listen("127.0.0.1", 0), LevelLog(), list[dict[str, object]]()
    port, lines, configuration = listener.getsockname()[1], LogLines(io.StringIO()), ConfigurationHolder.of(settings)
    worker = Worker([listener], shared_metrics or allocate_shared_metrics(settings), configuration=configuration)
    async with (
        shared_parts(settings, worker.shared_metrics.slot(), lines, None) as shared,
        BackgroundTasks() as tasks,
        aclosing(LiveService(worker, configuration, shared, log, tasks)) as live,  # type: ignore[arg-type]
    ):
        live.use(await live.prepare(settings), configuration.state)
        listeners = listeners_of(settings, worker.sockets, live.contexts)
        async with (
            serving(live.current.service.application, *listeners, write=requests.append) as served,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=aiohttp.TCPConnector(limit=1)) as client,
        ):
            live.serve_through(served, listeners)
            yield Process(live, shared, configuration, log, client, requests)
    lines.close()


async def test_new_rights_apply_to_the_next_request_of_an_open_connection(tmp_path: Path) -> None:
    async with running(settings_of(tmp_path)) as process:
        assert await process.status("POST", f"/v2/{REPOSITORY}/blobs/uploads/") == 202
        connections = process.shared.activity.connections.count
        assert await process.reload(settings_of(tmp_path, server={"anonymous": ["pull"]})) == ""
        assert await process.status("POST", f"/v2/{REPOSITORY}/blobs/uploads/") == 403
        assert process.shared.activity.connections.count == connections == 1


async def test_an_upload_under_way_ends_with_the_settings_of_its_begin(tmp_path: Path) -> None:
    async with running(settings_of(tmp_path)) as process:
        former, half_sent, rest = process.live.current, asyncio.Event(), asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield BLOB[:100_000]
            half_sent.set()
            await rest.wait()
            yield BLOB[100_000:]

        path = f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest(BLOB)}"
        async with aiohttp.ClientSession(process.client._base_url) as other:
            uploading = asyncio.create_task(_put(other, path, body()))
            await half_sent.wait()
            await until(lambda: former.service.application.activity.in_flight.count == 1)
            assert await process.reload(settings_of(tmp_path, server={"anonymous": ["pull"]})) == ""
            assert (await process.metrics())["plugin_mirror_requests_in_flight"] == 2  # the scrape is one
            following = former.following
            await until(lambda: following is not None and following.done())  # work of its own ends at once
            assert not former.ended.is_set()
            rest.set()
            assert await uploading == 201
            async with asyncio.timeout(30):
                await former.ended.wait()


async def _put(client: aiohttp.ClientSession, path: str, body: AsyncIterator[bytes]) -> int:
    async with client.post(path, data=body) as answer:
        return answer.status


async def test_no_request_fails_during_twenty_reloads_and_nothing_is_left_of_them(tmp_path: Path) -> None:
    first, second = settings_of(tmp_path), settings_of(tmp_path, log={"level": "debug"})
    async with running(first) as process:
        await put_plugin(process.shared.store)
        assert await process.reload(second) == ""  # what is made once is made
        tasks, files = len(asyncio.all_tasks()), open_files()
        stop, statuses = asyncio.Event(), list[int]()

        async def pull() -> None:
            async with aiohttp.ClientSession(process.client._base_url) as client:
                while not stop.is_set():
                    async with client.get(MANIFEST_PATH) as answer:
                        assert await answer.read() == MANIFEST
                        statuses.append(answer.status)

        pulling = [asyncio.create_task(pull()) for _ in range(3)]
        for number in range(20):
            before = len(statuses)
            assert await process.reload(second if number % 2 else first) == ""
            await until(lambda: len(statuses) > before + 3)  # noqa: B023 - awaited before the next round
        stop.set()
        await asyncio.gather(*pulling)
        assert set(statuses) == {200}
        counted = await process.metrics()
        pulls = 'plugin_mirror_requests_total{method="GET",route="manifest",status="2xx"}'
        assert counted[pulls] == len(statuses) == sum(line["path"] == MANIFEST_PATH for line in process.requests)
        await until(lambda: len(asyncio.all_tasks()) == tasks)
        # Readers of the catalog may have opened their connections meanwhile, each with up to three files.
        assert open_files() <= files + 12


async def test_wrong_settings_change_nothing_and_are_told(tmp_path: Path) -> None:
    async with running(settings_of(tmp_path)) as process:
        former = process.live.current
        wrong = settings_of(tmp_path, admission={"token_file": str(tmp_path / "missing")}, log={"level": "debug"})
        with capture_logs() as lines:
            refusal = await process.reload(wrong)
        assert str(tmp_path / "missing") in refusal
        assert {"event": "configuration not reloaded, last settings stay in use", "error": refusal} in [
            {key: line[key] for key in ("event", "error")} for line in lines if "error" in line
        ]
        assert process.live.current is former
        assert process.log.level == "info"
        async with process.client.get("/api/v1/config") as answer:
            told = await answer.json()
        assert told["last_reload"] == {"at": "2026-11-28T18:28:40Z", "succeeded": False, "error": refusal}
        assert (told["reloads"], told["settings"]["log"]["level"], told["waits_for_restart"]) == (1, "info", [])
        assert (await process.metrics())["plugin_mirror_config_reload_success"] == 0
        assert await process.status("GET", "/v2/") == 200


async def test_background_work_that_fails_begins_again_and_ends_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_service, "_PAUSE_SECONDS", 0)
    tries = []

    async def chore() -> None:
        tries.append(len(tries))
        if len(tries) < 3:
            raise OverflowError("date value out of range")

    with capture_logs() as lines:
        await live_service._keep_up(chore)
    assert tries == [0, 1, 2]
    assert [line["event"] for line in lines] == ["background work failed, begins again"] * 2


async def test_what_is_in_use_and_what_waits_is_told(tmp_path: Path) -> None:
    async with running(settings_of(tmp_path)) as process:
        proxy = "http://me:sesame@proxy:3128"
        hub = {"url": "https://registry-1.docker.io", "proxy": proxy}
        assert await process.reload(settings_of(tmp_path, log={"level": "warning"}, upstreams={"hub": hub})) == ""
        assert process.log.level == "warning"
        async with process.client.get("/api/v1/config") as answer:
            text, told = await answer.text(), await answer.json()
        assert (told["last_reload"]["succeeded"], told["waits_for_restart"]) == (True, ["server.listen"])
        assert told["settings"]["upstreams"]["hub"]["proxy"] == "http://(hidden)@proxy:3128"
        assert "sesame" not in text
        metrics = await process.metrics()
        assert metrics["plugin_mirror_config_reload_success"] == 1
        assert metrics["plugin_mirror_config_restart_needed"] == 1
        assert metrics["plugin_mirror_config_loaded_timestamp_seconds"] == NOW.timestamp()


async def test_only_who_may_operate_sees_the_settings(tmp_path: Path) -> None:
    shut = settings_of(tmp_path, server={"listen": "0.0.0.0:5000", "anonymous": ["pull"]})
    async with running(shut) as process:
        assert await process.status("GET", "/api/v1/config") in {401, 403}


async def test_metrics_follow_the_rules_and_keep_their_counts(tmp_path: Path) -> None:
    def with_rule(name: str) -> Settings:
        return settings_of(
            tmp_path,
            offline=True,
            upstreams={"hub": {"url": "https://registry-1.docker.io"}},
            mirrors=[{"name": name, "from": "hub/a", "to": "a"}],
        )

    async with running(with_rule("one")) as process:
        assert await process.status("GET", "/v2/") == 200
        for name, other in (("two", "one"), ("one", "two")):
            assert await process.reload(with_rule(name)) == ""
            metrics = await process.metrics()
            assert f'plugin_mirror_rule_tags_moved_total{{rule="{name}"}}' in metrics
            assert f'plugin_mirror_rule_tags_moved_total{{rule="{other}"}}' not in metrics
            assert metrics['plugin_mirror_requests_total{method="GET",route="ping",status="2xx"}'] == 1


async def test_more_new_names_than_the_metrics_have_room_for_are_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    roomy = allocate_shared_metrics(settings)
    tight = SharedMetrics([family for family, _ in roomy.sums()], spare_cells=10)
    async with running(settings, tight) as process:
        hub = {"url": "https://registry-1.docker.io"}
        assert "fix: restart the server" in await process.reload(settings_of(tmp_path, upstreams={"hub": hub}))
        assert await process.reload(settings_of(tmp_path, server={"anonymous": ["pull"]})) == ""


async def test_other_certificates_are_shown_to_new_connections(tmp_path: Path) -> None:
    certificates = [trustme.CA().issue_cert("127.0.0.1") for _ in range(2)]

    def with_certificate(number: int) -> Settings:
        folder = tmp_path / str(number)
        if number < len(certificates):
            folder.mkdir(exist_ok=True)
            certificates[number].private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
        both = str(folder / "both.pem")
        return settings_of(tmp_path, server={"tls": {"certificate": both, "key": both}})

    async def shown(port: int) -> bytes:
        return (await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))).encode()

    async with running(with_certificate(0)) as process:
        port = process.client._base_url.port
        for number, wanted in ((0, 0), (1, 1), (2, 1)):  # the last one does not exist
            refusal = await process.reload(with_certificate(number))
            assert ("both.pem" in refusal) == (number == 2)
            assert await shown(port) == certificates[wanted].cert_chain_pems[0].bytes()


async def test_the_store_and_the_limits_follow(tmp_path: Path) -> None:
    async with running(settings_of(tmp_path)) as process:
        await put_plugin(process.shared.store)
        changed = settings_of(
            tmp_path,
            server={
                "plugin_checks": "off",
                "limits": {"connections": 9, "connections_per_client": 8},
            },
            storage={"path": str(tmp_path / "data"), "least_free_bytes": 10**18},
            repositories=[{"pattern": "**", "immutable": ["*"]}],
            audit={"enabled": False},
        )
        assert await process.reload(changed) == ""
        assert await process.status("POST", f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest(BLOB)}", data=BLOB) == 507
        other = MANIFEST.replace(b"{", b"{ ", 1)
        kind = {"Content-Type": "application/vnd.docker.distribution.manifest.v2+json"}
        assert await process.status("PUT", MANIFEST_PATH, data=other, headers=kind) == 403
        activity = process.shared.activity
        assert (activity.requests.most_per_client, activity.connections._limits.connections) == (8, 9)
