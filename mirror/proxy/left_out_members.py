"""Members of indexes that the setting ``platforms`` of a proxy rule leaves out. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from mirror.oci import Digest, Manifest, Repository
from mirror.oci.errors import LeftOut
from mirror.oci.platform_selection import is_attestation, platform_texts
from mirror.proxy.proxy_routes import ProxyRoute
from mirror.records.absent_content import AbsenceReason, AbsentContent


def left_out_members(repository: Repository, manifest: Manifest, route: ProxyRoute) -> list[AbsentContent]:
    """Return the members of an index that a route leaves out.

    Raises:
        LeftOut: the route leaves out every member.
    """
    if route.platforms is None:
        return []
    left_out = route.platforms.left_out(manifest.manifests)
    kept = [each for each in manifest.manifests if each.digest not in left_out and not is_attestation(each)]
    if left_out and not kept:
        raise LeftOut(
            f"{manifest.digest} of {route.upstream.name}/{route.repository} has no member for {route.platforms}, "
            f"the platforms of the proxy rule: it has {platform_texts(manifest.manifests)}; "
            "fix: add one of them to platforms",
            name=repository,
            reference=manifest.digest,
        )
    return [
        AbsentContent(manifest.digest, digest, AbsenceReason.PLATFORM, str(platform))
        for digest, platform in left_out.items()
    ]


def require_taken(repository: Repository, target: Digest, absent: Iterable[AbsentContent], route: ProxyRoute) -> None:
    """Check that a route takes a manifest.

    Args:
        repository: local repository.
        target: digest of the manifest.
        absent: records of the absence of the manifest.
        route: the route.

    Raises:
        LeftOut: the route leaves the manifest out.
    """
    for each in absent:
        if not route.takes(each):
            raise LeftOut(
                f"{repository} has no manifest {target}: {each.detail} is not among the platforms of the proxy rule "
                f"({route.platforms}); fix: add {each.detail} to platforms",
                name=repository,
                reference=target,
            )
