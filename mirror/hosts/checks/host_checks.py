"""All checks of a host for one plugin. Pure."""

from __future__ import annotations

from mirror.hosts.checks.engine_checks import engine_checks
from mirror.hosts.checks.file_checks import file_checks
from mirror.hosts.checks.host_check import HostPrediction
from mirror.hosts.checks.host_facts import HostFacts
from mirror.hosts.checks.registry_check import registry_check
from mirror.hosts.checks.wanted_plugin import WantedPlugin
from mirror.hosts.checks.wanted_settings import setting_checks


def check_host(facts: HostFacts, wanted: WantedPlugin) -> HostPrediction:
    """Predict if a plugin installs on a host, if it can be enabled there, and if the engine finds it under its name."""
    return HostPrediction(
        (
            registry_check(facts, wanted),
            *engine_checks(facts, wanted),
            *setting_checks(wanted),
            *file_checks(facts, wanted),
        )
    )
