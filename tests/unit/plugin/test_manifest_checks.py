"""Findings about plugins: one table with a row for each possible problem."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Digest, Manifest, media_types
from mirror.oci.errors import ManifestInvalid
from mirror.plugin.findings import manifest_findings as table
from mirror.plugin.findings.finding import Finding, Severity
from mirror.plugin.lint import manifest_checks
from mirror.plugin.rootfs.layer_facts import LayerFacts, LayerProblem

LAYER, OTHER = Digest.of(b"layer"), Digest.of(b"other layer")
TAR, OTHER_TAR = Digest.of(b"tar"), Digest.of(b"other tar")
FACTS = LayerFacts(size_bytes=1000, compressed=True, diff_id=TAR, tar_bytes=2000, entries=3)
OTHER_FACTS = LayerFacts(size_bytes=1000, compressed=True, diff_id=OTHER_TAR, tar_bytes=2000, entries=3)
BROKEN = LayerFacts(1000, True, None, 7, 0, LayerProblem.GZIP_BROKEN)
ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"


def config(*diff_ids: Digest) -> bytes:
    return json.dumps({"rootfs": {"type": "layers", "diff_ids": [str(each) for each in diff_ids]}}).encode()


GOOD = config(TAR)


def layer(media_type: str = media_types.DOCKER_LAYER_GZIP, digest: Digest = LAYER, **members: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "size": 1000, "digest": str(digest), **members}


def manifest(
    *layers: dict[str, Any], content: bytes = GOOD, kind: str = media_types.DOCKER_MANIFEST, **members: Any
) -> Manifest:
    body = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {
            "mediaType": media_types.DOCKER_PLUGIN_CONFIG,
            "size": len(content),
            "digest": str(Digest.of(content)),
        },
        "layers": list(layers),
        **members,
    }
    return Manifest.parse(json.dumps(body).encode(), kind)


def found(
    plugin: Manifest, *facts: LayerFacts, content: bytes | None = GOOD, size_bytes: int | None = None
) -> tuple[Finding, ...]:
    by_digest = {each.digest: one for each, one in zip(plugin.layers, facts, strict=False)}
    return manifest_checks.check_plugin(
        plugin, len(content or b"") if size_bytes is None else size_bytes, content, by_digest
    )


def codes(findings: tuple[Finding, ...]) -> tuple[set[str], set[str]]:
    """Return the codes of the errors and the codes of the warnings."""
    errors = {finding.code for finding in findings if finding.severity is Severity.ERROR}
    return errors, {finding.code for finding in findings} - errors


def test_nothing_is_wrong_with_a_good_plugin() -> None:
    assert found(manifest(layer()), FACTS) == ()


COMPRESSED, TWO = config(LAYER), config(TAR, OTHER_TAR)


@pytest.mark.parametrize(
    ("plugin", "facts", "content", "errors", "warnings"),
    [
        (manifest(layers=None), [], GOOD, {"layers-missing"}, set()),
        (manifest(), [], GOOD, {"layers-missing"}, set()),
        (manifest(layer(ZSTD)), [FACTS], GOOD, {"layer-type"}, set()),
        (manifest(layer("application/x-tar")), [FACTS], GOOD, {"layer-type"}, set()),
        (manifest(layer(media_types.DOCKER_LAYER_FOREIGN)), [FACTS], GOOD, {"layer-type"}, set()),
        (manifest(layer(), layer("application/x-tar")), [FACTS], config(TAR, TAR), {"layer-type"}, {"several-layers"}),
        (manifest(layer()), [BROKEN], GOOD, {"layer-unreadable"}, set()),
        (manifest(layer(size=999)), [FACTS], GOOD, {"size-wrong"}, set()),
        (manifest(layer()), [LayerFacts(1000, False, TAR, 1000, 1)], GOOD, {"layer-uncompressed"}, set()),
        (manifest(layer(media_types.DOCKER_LAYER)), [LayerFacts(1000, False, TAR, 1000, 1)], GOOD, set(), set()),
        (manifest(layer(media_types.DOCKER_LAYER)), [FACTS], GOOD, set(), set()),
        (manifest(layer()), [LayerFacts(1000, True, TAR, 1024, 0)], GOOD, {"files-missing"}, set()),
        (
            manifest(layer(), layer(digest=OTHER)),
            [LayerFacts(1000, True, TAR, 1024, 0), OTHER_FACTS],
            TWO,
            set(),
            {"several-layers"},
        ),
        (manifest(layer(), content=b"{"), [FACTS], b"{", {"config-unreadable"}, set()),
        (manifest(layer(), content=b'{"Env": 1}'), [FACTS], b'{"Env": 1}', {"config-unreadable"}, set()),
        (manifest(layer(), layer(digest=OTHER)), [FACTS, OTHER_FACTS], TWO, set(), {"several-layers"}),
        (
            manifest(layer(digest=OTHER), layer()),
            [OTHER_FACTS, FACTS],
            TWO,
            set(),
            {"several-layers", "diff-ids-wrong"},
        ),
        (manifest(layer(media_types.OCI_LAYER_GZIP)), [FACTS], GOOD, set(), {"layer-type-mixed"}),
        (
            manifest(layer(media_types.OCI_LAYER_GZIP), kind=media_types.OCI_MANIFEST),
            [FACTS],
            GOOD,
            set(),
            {"manifest-oci"},
        ),
        (manifest(layer(), kind=media_types.OCI_MANIFEST, mediaType=None), [FACTS], GOOD, set(), {"manifest-oci"}),
        (manifest(layer()), [FACTS], COMPRESSED, set(), {"diff-ids-compressed"}),
        (manifest(layer()), [FACTS], b"{}", set(), {"diff-ids-wrong"}),
        (manifest(layer()), [FACTS], TWO, set(), {"diff-ids-wrong"}),
        (manifest(layer(), mediaType=None), [FACTS], GOOD, set(), {"media-type-missing"}),
        (manifest(layer(urls=["https://x"])), [], GOOD, set(), {"layer-elsewhere"}),
    ],
)
def test_what_is_wrong(
    plugin: Manifest, facts: list[LayerFacts], content: bytes, errors: set[str], warnings: set[str]
) -> None:
    size_bytes = plugin.config.size_bytes if plugin.config else 0
    assert codes(found(plugin, *facts, content=content, size_bytes=size_bytes)) == (errors, warnings)


def test_the_size_of_the_config_is_compared() -> None:
    (only,) = found(manifest(layer()), FACTS, size_bytes=len(GOOD) + 1)
    assert only.text == f"the config has {len(GOOD) + 1} bytes, and the manifest says {len(GOOD)}"


def test_a_config_that_is_too_large_to_be_read() -> None:
    assert codes(found(manifest(layer()), FACTS, content=None, size_bytes=len(GOOD))) == ({"config-unreadable"}, set())


def test_every_kind_of_finding_is_told_once() -> None:
    plugin = manifest(*[layer("application/x-tar", Digest.of(b"%d" % number)) for number in range(3000)])
    findings = manifest_checks.check_plugin(plugin, len(GOOD), GOOD, {each.digest: BROKEN for each in plugin.layers})
    assert [finding.code for finding in findings] == ["layer-type", "several-layers", "layer-unreadable"]
    assert findings[0].text.startswith("layer 1 ")


def test_without_its_layers_a_plugin_shows_what_it_can() -> None:
    plugin = manifest(layer(), layer(), mediaType=None)
    assert codes(manifest_checks.check_plugin(plugin, 1, b"{", None)) == (
        {"size-wrong", "config-unreadable"},
        {"several-layers", "media-type-missing"},
    )


def test_an_index() -> None:
    image = Manifest.parse(
        json.dumps(
            {
                "schemaVersion": 2,
                "config": {"mediaType": media_types.OCI_IMAGE_CONFIG, "size": 2, "digest": str(LAYER)},
                "layers": [],
            }
        ).encode(),
        media_types.OCI_MANIFEST,
    )
    assert manifest_checks.check_index([image]) == ()
    assert codes(manifest_checks.check_index([image, manifest(layer())])) == (set(), {"index"})


@pytest.mark.parametrize(
    ("finding", "advice"),
    [
        (table.LAYERS_MISSING(), "sync"),
        (table.layer_problem(1, LayerProblem.GZIP_BROKEN), "plugins/storage/ingest"),
        (table.layer_problem(1, LayerProblem.ZSTD), "gzip"),
        (table.layer_problem(1, LayerProblem.TOO_LARGE), "server.limits.unpacked_layer_bytes"),
        (table.layer_problem(1, LayerProblem.TOO_DENSE), "server.limits.unpacked_ratio"),
        (table.layer_problem(1, LayerProblem.PLUGIN_TOO_LARGE), "server.limits.unpacked_plugin_bytes"),
        (table.layer_problem(1, LayerProblem.TOO_MANY_LAYERS), "server.plugin_checks: warn"),
        (table.LAYER_TYPE_ZSTD(number=1, media_type=ZSTD), "gzip"),
    ],
)
def test_an_error_says_what_to_do(finding: Finding, advice: str) -> None:
    assert finding.severity is Severity.ERROR
    assert advice in finding.fix
    assert finding.sentence.endswith(f"; fix: {finding.fix}")


def test_the_most_common_warning_is_short() -> None:
    assert table.DIFF_IDS_COMPRESSED().sentence == (
        "diff_ids are the digests of the compressed layers "
        "(engines up to 19.03: layers from manifest don't match image configuration)"
    )


@given(st.text())
def test_text_from_outside_is_shown_in_ascii(text: str) -> None:
    for finding in (table.LAYER_TYPE(number=1, media_type=text), table.CONFIG_UNREADABLE(reason=text)):
        assert finding.sentence.isascii()
        assert finding.sentence.isprintable()
        assert len(finding.sentence) < 500


FINDINGS = st.builds(Finding, st.text(), st.sampled_from(Severity), st.text(), st.text(), st.text(), st.text())


@given(FINDINGS)
def test_a_finding_is_read_as_it_was_written(finding: Finding) -> None:
    assert Finding.from_json(json.loads(json.dumps(finding.to_json()))) == finding


def test_a_finding_recorded_by_an_earlier_version_is_read() -> None:
    finding = table.DIFF_IDS_COMPRESSED()
    recorded = finding.to_json()
    recorded["mend"] = recorded.pop("fix")
    assert Finding.from_json(recorded) == finding


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        "x",
        [],
        {},
        {"severity": "error"},
        {**table.INDEX().to_json(), "severity": "x"},
        {**table.INDEX().to_json(), "more": "x"},
    ],
)
def test_what_is_no_finding(value: object) -> None:
    with pytest.raises(ManifestInvalid):
        Finding.from_json(value)
