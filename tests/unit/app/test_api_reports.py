"""Reports of a serving process, assembled from the reports of its parts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mirror.app.api_reports import ApiReports
from mirror.app.services import open_services
from mirror.records.lifecycle.pins import Pin
from mirror.runtime.clock import SystemClock
from mirror.settings import load
from tests.support.served import MANIFEST, REPOSITORY, TAG, digest, put_plugin

NAME = REPOSITORY.name


def settings_in(folder: Path) -> Any:
    return load(
        flags={
            "storage": {"path": str(folder / "data")},
            "upstreams": {
                "hub": {"url": "http://127.0.0.1:1", "plain_http": True},
                "other": {"url": "https://o.example"},
            },
            "mirrors": [{"name": "plain", "from": f"hub/{NAME}", "to": NAME}],
            "platform_tags": [
                {
                    "name": NAME,
                    "tag": "latest",
                    "platforms": {"amd64": str(TAG), "arm64": "absent"},
                    "default": "amd64",
                },
                {"name": "acme/*", "tag": "*", "platforms": "index"},
            ],
        }
    )


async def allowed() -> None:
    """Permit everybody to list repositories."""


async def test_what_tags_stand_for_is_told_as_the_configuration_has_it(tmp_path: Path) -> None:
    async with open_services(settings_in(tmp_path)) as services:
        await put_plugin(services.store)
        report = ApiReports(services, {}, SystemClock()).for_listing(allowed)["platform-tags"]
        assert json.loads(json.dumps(await report())) == {
            "platform_tags": [
                {
                    "name": NAME,
                    "tag": "latest",
                    "platforms": {"amd64": str(TAG), "arm64": "absent"},
                    "default": "amd64",
                    "now": {"amd64": digest(MANIFEST), "arm64": None},
                },
                {"name": "acme/*", "tag": "*", "platforms": "index", "default": None, "now": None},
            ]
        }


async def test_upstreams_are_told_with_the_rules_that_use_them(tmp_path: Path) -> None:
    async with open_services(settings_in(tmp_path)) as services:
        upstreams = await services.upstreams(["hub"])
        reports = ApiReports(services, upstreams, SystemClock()).for_listing(allowed)
        # No process runs the rule, so the run counts as interrupted.
        await services.store.records.sync_runs.begin_run("plain")
        hub, other = (await reports["upstreams"]())["upstreams"]  # type: ignore[index]
        assert (hub["name"], hub["url"], hub["rules"], hub["failing"]) == (
            "hub",
            "http://127.0.0.1:1",
            ["plain"],
            [{"rule": "plain", "reason": ""}],
        )
        assert hub["now"]["requests"] == 0
        assert list(hub["now"]) == [
            "offline",
            "requests",
            "received_bytes",
            "failures",
            "rest_seconds",
            "quota",
            "hosts",
        ]
        assert other == {
            "name": "other",
            "url": "https://o.example",
            "rules": [],
            "last_success_at": None,
            "failing": [],
            "now": None,
        }
        assert [one["rule"] for one in (await reports["mirrors"]())["mirrors"]] == ["plain"]  # type: ignore[index]
        assert json.loads(await reports["admission"]()) == {"admissions": []}  # type: ignore[arg-type]


async def test_pins_are_told(tmp_path: Path) -> None:
    async with open_services(settings_in(tmp_path)) as services:
        await put_plugin(services.store)
        at = datetime(2026, 11, 24, 12, tzinfo=UTC)
        await services.store.records.pins.pin(Pin(REPOSITORY, TAG, "anna", at, "ticket 7"))
        report = ApiReports(services, {}, SystemClock()).for_listing(allowed)["pins"]
        told = {"name": NAME, "tag": str(TAG), "digest": None, "by": "anna", "at": "2026-11-24T12:00:00Z"}
        assert await report() == {"pins": [{**told, "note": "ticket 7"}]}
