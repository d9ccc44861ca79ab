"""Commands ``sign`` and ``verify``: signatures of content in the local store, or in another registry."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from mirror.admission.content_signing import SignedContent, sign_content, verify_content
from mirror.admission.key_files import KeyFiles, read_private_key, read_public_key
from mirror.app.plugin_inspection import advertised_host
from mirror.app.services import open_services
from mirror.oci import Reference
from mirror.oci.errors import ConfigurationFault
from mirror.runtime.clock import SystemClock
from mirror.runtime.concurrency.threads import in_thread
from mirror.settings import Settings
from mirror.signing.signature_verification import VerifiedContent

_CLOCK = SystemClock()


async def sign_reference(
    settings: Settings,
    reference: Reference,
    key_file: Path,
    *,
    password: str | None = None,
    valid_for: timedelta | None = None,
    plain_http: bool = False,
) -> SignedContent:
    """Sign content of the local store or of another registry, and store the signature beside it.

    Args:
        settings: location of the store, and its checks.
        reference: the content.
        key_file: file with the private key.
        password: password of the key; None if it is not encrypted.
        valid_for: time for which the signature counts; None for no end.
        plain_http: True to use HTTP for the host of the reference.

    Raises:
        ConfigurationFault: the key cannot be read.
        MirrorError: see :func:`mirror.admission.content_signing.sign_content`.
    """
    key, now = await in_thread(read_private_key, key_file, password), _CLOCK.now()
    expires_at = None if valid_for is None else now + valid_for
    repository = reference.repository
    if reference.host is not None:
        from mirror.app.upstream_registries import open_remote

        async with open_remote(settings, reference.host, plain_http=plain_http) as remote:
            name = f"{reference.host}/{repository}"
            return await sign_content(
                remote, repository, reference.target, key, name=name, now=now, expires_at=expires_at
            )
    async with open_services(settings, must_exist=True) as services:
        # Always with a host: the first part of a name may look like one.
        host = (settings.server.url or "").partition("//")[2].partition("/")[0] or advertised_host(settings)
        name = f"{host}/{repository}"
        checked = services.checked(services.store)
        return await sign_content(checked, repository, reference.target, key, name=name, now=now, expires_at=expires_at)


async def verify_reference(
    settings: Settings, reference: Reference, key_files: Sequence[Path], *, plain_http: bool = False
) -> VerifiedContent:
    """Verify the signatures of content in the local store or in another registry.

    Args:
        settings: location of the store, and the admission rules, whose keys are used if no files are given.
        reference: the content.
        key_files: files with public keys.
        plain_http: True to use HTTP for the host of the reference.

    Raises:
        ConfigurationFault: a key cannot be read, or there is none.
        MirrorError: any error of the registry.
    """
    files = key_files or settings.admission.key_files
    if not files:
        raise ConfigurationFault(
            "there is no key to verify with; fix: give --key FILE, or name keys in admission rules with signed: {by: …}"
        )
    if key_files:
        keys = [await in_thread(read_public_key, file) for file in key_files]
    else:
        read = await in_thread(KeyFiles.read, files)
        if read.faults:
            raise ConfigurationFault("\n".join(read.faults.values()))
        keys = list(read.keys.values())
    repository, now, patterns = reference.repository, _CLOCK.now(), settings.admission.signed_names
    if reference.host is not None:
        from mirror.app.upstream_registries import open_remote

        async with open_remote(settings, reference.host, plain_http=plain_http) as remote:
            digest = (await remote.get_manifest(repository, reference.target)).digest
            return await verify_content(remote, repository, digest, keys, names=(), patterns=patterns, now=now)
    async with open_services(settings, only_reads=True) as services:
        digest = (await services.store.get_manifest(repository, reference.target)).digest
        names = await services.store.records.arrivals.names(repository, digest)
        return await verify_content(services.store, repository, digest, keys, names=names, patterns=patterns, now=now)
