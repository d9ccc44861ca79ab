"""Facts about the content of a bundle that follow from manifests and configs alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.oci import Digest, Manifest, Repository, media_types
from mirror.oci.errors import ManifestInvalid
from mirror.oci.platform_selection import ImagePlatform, member_platforms
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.privileges import compute_privileges
from mirror.plugin.config.secret_values import without_secrets
from mirror.plugin.config.settable import list_settings
from mirror.plugin.lint.manifest_checks import check_plugin
from mirror.plugin.lint.plugin_view import PluginContent, view_plugin
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege, requested_privileges
from mirror.registry.config_reading import ConfigBlob, read_plugin_config
from mirror.registry.port import Reader

#: Longest text of a setting. Only people read it.
_MOST_TEXT: Final = 200


@dataclass(frozen=True, slots=True)
class ContentFacts:
    """Facts about one manifest.

    Attributes:
        kind: ``plugin``, ``image``, ``artifact`` or ``index``.
        size_bytes: size of all content that the manifest names, and of the manifest itself.
        platforms: platforms of an index.
        members: digests of the members of an index, as far as they are known.
        privileges: access of a plugin to its host, reading apart from writing; None if its config cannot be read.
        asked: privileges that engines ask for, the same in all versions of the program; empty if none are known.
        settings: key and default of each setting of a plugin, without secrets.
        findings: code and severity of each finding that needs no layer.
    """

    kind: str
    size_bytes: int
    platforms: tuple[str, ...] = ()
    members: tuple[Digest, ...] = ()
    privileges: tuple[RequestedPrivilege, ...] | None = ()
    asked: tuple[RequestedPrivilege, ...] = ()
    settings: tuple[tuple[str, str | None], ...] = ()
    findings: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the facts as plain values."""
        return {
            "kind": self.kind,
            "size_bytes": self.size_bytes,
            "platforms": list(self.platforms),
            "members": [str(member) for member in self.members],
            "privileges": None if self.privileges is None else [list(one) for one in self.privileges],
            "asked": [list(one) for one in self.asked],
            "settings": [list(one) for one in self.settings],
            "findings": [list(one) for one in self.findings],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ContentFacts:
        """Return the facts in plain values from outside.

        Raises:
            BundleInvalid: the values are no facts.
        """
        match value:
            case {
                "kind": str(kind),
                "size_bytes": int(size_bytes),
                "platforms": [*platforms],
                "members": [*members],
                "privileges": privileges,
                "asked": [*asked],
                "settings": [*settings],
                "findings": [*findings],
            }:
                return cls(
                    kind,
                    size_bytes,
                    tuple(map(_text, platforms)),
                    tuple(Digest.parse(_text(member)) for member in members),
                    None if privileges is None else tuple(_pairs(privileges)),
                    tuple(_pairs(asked)),
                    tuple(_pairs(settings, lacks_second=True)),
                    tuple(_pairs(findings)),
                )
        raise BundleInvalid("the report has an entry without the facts of its format")


async def content_facts(reader: Reader, repository: Repository, manifest: Manifest) -> ContentFacts:
    """Return the facts about a manifest.

    Args:
        reader: registry with the config.
        repository: repository with the config.
        manifest: the manifest.

    Raises:
        BlobUnknown: the registry lacks the config of a plugin.
        MirrorError: any other error of the registry.
    """
    kind = media_types.kind_of_content(None if manifest.config is None else manifest.config.media_type)
    size_bytes = manifest.size_bytes + manifest.content_size_bytes
    if manifest.is_plugin and manifest.config is not None:
        config = await read_plugin_config(reader, repository, manifest.config.digest, manifest.config.size_bytes)
        return _of_plugin(manifest, config, size_bytes)
    platforms = [platform for member in manifest.manifests if (platform := ImagePlatform.of(member)) is not None]
    members = [digest for digest, _ in member_platforms(manifest.manifests)]
    return ContentFacts(kind, size_bytes, tuple(dict.fromkeys(map(str, platforms))), tuple(members))


def _of_plugin(manifest: Manifest, stored: ConfigBlob, size_bytes: int) -> ContentFacts:
    found = check_plugin(manifest, stored.size_bytes, stored.content, None)
    try:
        config = None if stored.content is None else PluginConfig.parse(stored.content)
    except ManifestInvalid:
        config = None  # a finding says why
    view = view_plugin(PluginContent(config, None, found))
    settings = () if config is None else list_settings(without_secrets(config))
    asked = () if config is None else compute_privileges(config)
    return ContentFacts(
        "plugin",
        size_bytes,
        privileges=None if config is None else requested_privileges(config, reading_apart=True),
        asked=tuple((one.name, value) for one in asked for value in one.values),
        settings=tuple((one.key[:_MOST_TEXT], one.default and one.default[:_MOST_TEXT]) for one in settings),
        findings=tuple((finding.code, finding.severity.value) for finding in view.findings),
    )


def _pairs(values: Any, *, lacks_second: bool = False) -> Any:
    for value in values if isinstance(values, list) else _refused():
        match value:
            case [str(first), str(second)]:
                yield first, second
            case [str(first), None] if lacks_second:
                yield first, None
            case _:
                _refused()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _refused()


def _refused() -> Any:
    raise BundleInvalid("the report has a value of another type than its format")
