"""The report of a bundle: facts about each manifest with a name, and about the members of indexes.

The sender writes it, so that people see what a bundle holds before they read it. The receiver does not rely on it: it
makes the report again from the content and compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.bundle.format.bounded_json import MOST_VALUES, count_values, read_bounded
from mirror.bundle.format.bundle_index import NamedManifest
from mirror.bundle.report.content_facts import ContentFacts, content_facts
from mirror.oci import Digest, Repository
from mirror.oci.errors import ClientFault, NotFound
from mirror.plugin.build.assembly import canonical_json
from mirror.registry.port import Reader

FORMAT: Final = 1
#: Largest report. A bundle may hold more content than fits; then the report lacks the rest.
MOST_REPORT_BYTES: Final = 32 * 1024 * 1024
#: More than the bytes, and so the values, of a report without facts.
_AROUND_BYTES: Final = 100


async def plugin_report(reader: Reader, names: Iterable[NamedManifest]) -> bytes:
    """Return the report about names and the members of their indexes. The same content gives the same bytes.

    Content that the registry lacks is left out: members of an index for other platforms, or content that the receiver
    of a delta has.

    Args:
        reader: registry with the names, read by digest.
        names: the names.

    Raises:
        MirrorError: any error of the registry, except for missing content.
    """
    found: dict[Digest, ContentFacts] = {}
    for named in names:
        await add_facts(found, reader, named.repository, named.descriptor.digest)
    return write_report(found)


async def add_facts(found: dict[Digest, ContentFacts], reader: Reader, repository: Repository, digest: Digest) -> None:
    """Add the facts about a manifest and the members of an index, for names from several registries.

    Args:
        found: receives the facts by digest. Manifests in it are not read again.
        reader: the registry.
        repository: repository with the manifest.
        digest: the manifest.

    Raises:
        MirrorError: any error of the registry, except for missing content.
    """
    waiting, indexes = [digest], list[Digest]()
    while waiting:
        digest = waiting.pop()
        if digest in found:
            continue
        try:
            manifest = await reader.get_manifest(repository, digest)
            facts = await content_facts(reader, repository, manifest)
        except NotFound:
            continue
        found[digest] = facts
        waiting += facts.members
        if facts.members:
            indexes.append(digest)
    # An index may name thousands of members that are nowhere. Those that are there are bounded by the content.
    for digest in indexes:
        known = found[digest]
        found[digest] = replace(known, members=tuple(member for member in known.members if member in found))


def write_report(facts: Mapping[Digest, ContentFacts]) -> bytes:
    """Return the report with facts, the smallest digests first, as far as every reader accepts it."""
    return canonical_json({"format": FORMAT, "manifests": dict(_fitting(facts))}, "report")


def read_report(content: bytes) -> dict[Digest, ContentFacts]:
    """Return the facts in a report by digest; nothing for an empty report.

    Raises:
        BundleInvalid: the bytes are not a report.
    """
    if not content:
        return {}
    try:
        report = read_bounded(content, "the report", MOST_REPORT_BYTES)
        listed = report.get("manifests")
        if report.get("format") != FORMAT or not isinstance(listed, dict):
            raise BundleInvalid(f"the report has another format than {FORMAT}")
        return {
            Digest.parse(digest): ContentFacts.from_json(value if isinstance(value, dict) else {})
            for digest, value in listed.items()
        }
    except ClientFault as error:
        raise BundleInvalid(f"the report is invalid: {error}") from error


def report_differences(
    reported: Mapping[Digest, ContentFacts], found: Mapping[Digest, ContentFacts]
) -> tuple[str, ...]:
    """Return one line for each manifest about which a report says something wrong.

    Only what each version of the program derives in the same way counts: a site may run another version than the
    sender, and could not import anything if a new finding were a difference. Manifests that only one of the two has are
    left out.

    Args:
        reported: facts in the report of the sender.
        found: facts that the receiver has found.
    """
    return tuple(
        f"{digest}: the report of the bundle says {said}, and the content has {has}"
        for digest, facts in sorted(found.items())
        if digest in reported
        and (said := _counted(reported[digest], facts)) != (has := _counted(facts, reported[digest]))
    )


def _counted(facts: ContentFacts, other: ContentFacts) -> dict[str, Any]:
    value = facts.to_json()
    # One version may read a config that another one does not read.
    are_read = None not in {facts.privileges, other.privileges}
    return {key: value[key] for key in ("kind", "size_bytes", *(["asked"] if are_read else []))}


def _fitting(facts: Mapping[Digest, ContentFacts]) -> Iterator[tuple[str, dict[str, Any]]]:
    left_bytes, left_values = MOST_REPORT_BYTES - _AROUND_BYTES, MOST_VALUES - _AROUND_BYTES
    for digest, one in sorted(facts.items()):
        value = one.to_json()
        content = canonical_json({str(digest): value}, "report")
        size_bytes, values = len(content), count_values(content)
        if size_bytes <= left_bytes and values <= left_values:
            left_bytes -= size_bytes
            left_values -= values
            yield str(digest), value
