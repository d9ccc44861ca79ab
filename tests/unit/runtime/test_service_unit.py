"""The unit for systemd: what the server needs is not taken from it."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest

from mirror.runtime import clock

UNIT = Path(__file__).parents[3] / "deploy/systemd/plugin-mirror.service"


@pytest.fixture
def service() -> dict[str, str]:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return dict(parser["Service"])


def test_the_identifier_of_the_boot_can_be_read(service: dict[str, str]) -> None:
    assert not clock._BOOT_ID.is_relative_to("/proc/self")
    assert service.get("ProcSubset", "all") == "all"


def test_reload_asks_the_server_of_the_state_folder(service: dict[str, str]) -> None:
    assert service["ExecReload"].endswith(f"plugin-mirror reload --data %S/{service['StateDirectory']}")
