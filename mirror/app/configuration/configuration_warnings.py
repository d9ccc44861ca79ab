"""Warnings about a valid configuration: rules that may be a mistake, and files that this machine cannot use.

Each import is late: most configurations need none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mirror.oci.errors import ConfigurationFault
from mirror.settings.loading.configuration import with_origins
from mirror.settings.loading.unusable_files import unusable_files, without_secret_paths

if TYPE_CHECKING:
    from mirror.settings import Settings
    from mirror.settings.loading.yaml_reading import Place


def configuration_warnings(settings: Settings, path: Path | None) -> list[str]:
    """Return each warning as ``FILE:LINE: KEY: WHAT, fix: HOW``. Blocks.

    A file that cannot be read is no error: the configuration may be checked on another machine than the server's.

    Args:
        settings: the settings.
        path: the file that they were read from, or None.
    """
    found = [*_tls(settings), *_issuer(settings), *_keys(settings), *_rules(settings)]
    lines = [without_secret_paths(settings, line) for line in with_origins(found, settings, path)]
    return [*lines, *file_warnings(settings, path)]


def file_warnings(settings: Settings, path: Path | None) -> list[str]:
    """Return the warnings about files that a server first reads when it needs them. Blocks.

    They are the files of upstreams and of endpoints of events, and ``admission.token_file``.

    Args:
        settings: the settings.
        path: the file that they were read from, or None.
    """
    lines = [*with_origins([*_endpoints(settings)], settings, path), *unusable_files(settings, path)]
    return [without_secret_paths(settings, line) for line in lines]


def _tls(settings: Settings) -> Iterator[tuple[Place, str]]:
    if settings.server.tls is not None:
        from mirror.app.tls.tls_listening import server_contexts

        try:
            server_contexts(settings)
        except ConfigurationFault as fault:
            yield _placed(fault, ("server", "tls"))


def _issuer(settings: Settings) -> Iterator[tuple[Place, str]]:
    issuer = settings.server.token_issuer
    if issuer is not None and issuer.jwks_file is not None:
        from mirror.access.issuer.key_sources import KeyFile
        from mirror.runtime.clock import SystemClock

        try:
            KeyFile(issuer.jwks_file, SystemClock())
        except ConfigurationFault as fault:
            yield _placed(fault, ("server", "token_issuer", "jwks"))


def _keys(settings: Settings) -> Iterator[tuple[Place, str]]:
    if settings.admission.key_files:
        from mirror.admission.key_files import KeyFiles

        for file, told in KeyFiles.read(settings.admission.key_files).faults.items():
            yield from ((("admission", *place), told) for place in settings.admission.places_of(file))


def _endpoints(settings: Settings) -> Iterator[tuple[Place, str]]:
    if settings.events:
        from mirror.app.events.event_sending import endpoint_faults

        yield from ((("events", number, key), told) for number, key, told in endpoint_faults(settings.events))


def _rules(settings: Settings) -> Iterator[tuple[Place, str]]:
    if settings.mirrors:
        from mirror.sync.rules.rule_overlap import overlap_warnings

        found = overlap_warnings(section.rule() for section in settings.mirrors)
        yield from ((("mirrors", number), told) for number, told in found)
    yield from settings.advice()


def _placed(fault: ConfigurationFault, section: tuple[str, ...]) -> tuple[Place, str]:
    """Return the place of a fault, and a sentence. The message begins with a key of the section, or of one above."""
    from mirror.runtime.error_advice import advised
    from mirror.settings.loading.model_keys import kinds_at
    from mirror.settings.sections import Settings

    key, _, told = advised(fault).partition(" ")
    place = tuple(key.removesuffix(":").split("."))
    return (place, told) if kinds_at(Settings, place) else (section, advised(fault))
