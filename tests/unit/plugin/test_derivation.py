"""Derived plugins: they differ from the original in the requested change only, and have reproducible bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import ConfigurationFault, ManifestInvalid, Unsupported
from mirror.plugin.build.derivation import derive
from mirror.plugin.build.derivation_changes import DerivationChanges
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.lint import manifest_checks
from mirror.plugin.rootfs.layer_facts import LayerFacts, LayerProblem

LAYER, TAR = b"a layer", b"a tar"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAMES = st.sampled_from(["role", "plugin_name", "x"])
FACTS = {
    Digest.of(LAYER): LayerFacts(len(LAYER), compressed=True, diff_id=Digest.of(TAR), tar_bytes=len(TAR), entries=1)
}


def manifest_of(config: bytes, media_type: str = media_types.DOCKER_MANIFEST, **members: Any) -> Manifest:
    layer = Descriptor(members.pop("layer_type", media_types.DOCKER_LAYER_GZIP), Digest.of(LAYER), len(LAYER))
    described = Descriptor(media_types.DOCKER_PLUGIN_CONFIG, Digest.of(config), len(config))
    body = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": described.to_json(),
        "layers": [layer.to_json()],
        **members,
    }
    return Manifest.parse(json.dumps({key: value for key, value in body.items() if value}).encode(), media_type)


def cased(key: str) -> st.SearchStrategy[str]:
    return st.sampled_from([key, key.lower(), key.upper()])


def objects(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Generate objects with any of the given members, in any case of letters, and one unknown member."""
    pairs = [st.tuples(cased(key), value) for key, value in members.items()]
    unknown = st.tuples(st.just("unknownToAll"), st.one_of(st.integers(), TEXT, st.none(), st.lists(st.booleans())))
    return st.tuples(*pairs, unknown).flatmap(st.permutations).map(dict)


ITEMS = objects(Name=NAMES, Description=TEXT, Value=st.none() | TEXT, Settable=st.lists(TEXT, max_size=2))
MOUNTS = objects(Name=NAMES, Source=st.none() | TEXT, Destination=TEXT, Options=st.lists(TEXT, max_size=2))
CONFIGS = objects(
    Env=st.lists(ITEMS, min_size=1, max_size=3),
    Mounts=st.lists(MOUNTS, min_size=1, max_size=3),
    Args=objects(Name=st.just("args"), Value=st.none() | st.lists(TEXT, max_size=2)),
    Network=objects(Type=TEXT),
)


@given(CONFIGS, st.data())
def test_exactly_the_wanted_change_and_nothing_else(config: dict[str, Any], data: st.DataObject) -> None:
    content = json.dumps(config).encode()
    before, manifest = PluginConfig.parse(content), manifest_of(content, annotations={"a": "b"})
    name = data.draw(st.sampled_from([env.name for env in before.env]))
    mount = data.draw(st.sampled_from([mount.name for mount in before.mounts]))
    changes = DerivationChanges(
        env={name: data.draw(TEXT)}, mounts={mount: data.draw(TEXT)}, args=("one", data.draw(TEXT))
    )

    plugin = derive(manifest, content, changes)

    assert PluginConfig.parse(plugin.config) == replace(
        before,
        env=tuple(replace(env, value=changes.env[name]) if env.name == name else env for env in before.env),
        mounts=tuple(
            replace(each, source=changes.mounts[mount]) if each.name == mount else each for each in before.mounts
        ),
        args=replace(before.args, value=changes.args or ()),
    )
    touched = {"env", "mounts", "args"}
    kept = [
        {key: value for key, value in one.items() if key.lower() not in touched}
        for one in (config, json.loads(plugin.config))
    ]
    assert kept[0] == kept[1]
    body = json.loads(plugin.manifest.content)
    assert body["config"] == {
        "mediaType": media_types.DOCKER_PLUGIN_CONFIG,
        "digest": str(Digest.of(plugin.config)),
        "size": len(plugin.config),
    }
    assert {**body, "config": None} == {**json.loads(manifest.content), "config": None}
    assert plugin == derive(manifest, content, changes)
    assert derive(plugin.manifest, plugin.config, changes).changed == ()


@given(CONFIGS)
def test_what_is_so_already_leaves_every_byte_as_it_was(config: dict[str, Any]) -> None:
    content = json.dumps(config, indent=1).encode()
    manifest = manifest_of(content)
    args = PluginConfig.parse(content).args.value
    if not args:
        return
    plugin = derive(manifest, content, DerivationChanges(args=args))
    assert (plugin.manifest, plugin.config, plugin.changed) == (manifest, content, ())


CONTIV = json.dumps(
    {
        "manifestVersion": "v0",
        "entrypoint": ["/start"],
        "env": [{"Name": "plugin_name", "Value": "x", "Settable": ["value"]}, {"Name": "iflist"}],
        "mounts": [{"type": "bind", "source": "/var/run", "destination": "/run"}],
        "Linux": {"Devices": [{"path": "/dev/fuse"}, {"Name": "kvm", "Path": None}]},
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(LAYER))]},
    }
).encode()


def test_what_has_no_name_goes_by_its_place() -> None:
    changes = DerivationChanges(mounts={"/run": "/srv/run"}, devices={"/dev/fuse": "/dev/other", "kvm": "/dev/kvm"})
    plugin = derive(manifest_of(CONTIV), CONTIV, changes)
    assert plugin.changed == (
        'mount /run: "/var/run" -> "/srv/run"',
        'device /dev/fuse: "/dev/fuse" -> "/dev/other"',
        'device kvm: unset -> "/dev/kvm"',
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            DerivationChanges(env={"PLUGIN_NAME": "x"}),
            "no environment variable named 'PLUGIN_NAME' .*iflist, plugin_name",
        ),
        (DerivationChanges(mounts={"/var/run": "x"}), "no mount named '/var/run' .*/run"),
        (DerivationChanges(devices={"x": "x"}), "no device named 'x' .*/dev/fuse, kvm"),
        (DerivationChanges(args=("x",)), "no args"),
    ],
)
def test_what_the_plugin_does_not_have_is_refused(changes: DerivationChanges, told: str) -> None:
    with pytest.raises(ConfigurationFault, match=told):
        derive(manifest_of(CONTIV), CONTIV, changes)


@pytest.mark.parametrize("empty", [{}, {"env": {}}, {"fix": False}])
def test_no_change_at_all_is_refused(empty: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationFault, match="there is nothing to change"):
        DerivationChanges(**empty)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigurationFault, match="not Unicode text"):
        DerivationChanges(env={"a": "\udcff"})


def test_what_is_told_fits_a_terminal() -> None:
    config = json.dumps({"Env": [{"Name": "a\u001b[31m", "Value": "\u009b" + 9999 * "x"}]}).encode()
    plugin = derive(manifest_of(config), config, DerivationChanges(env={"a\u001b[31m": "1\u202e"}))
    assert plugin.changed == ('env a\\x1b[31m: "\\x9b' + 198 * "x" + '… -> "1\\u202e"',)
    with pytest.raises(ConfigurationFault, match=r"it has: a\\x1b\[31m\)"):
        derive(manifest_of(config), config, DerivationChanges(env={"b": ""}))


def test_images_and_indexes_have_no_defaults() -> None:
    image = replace(manifest_of(b"{}"), config=Descriptor(media_types.OCI_IMAGE_CONFIG, Digest.of(b"{}"), 2))
    with pytest.raises(Unsupported, match="is not a plugin"):
        derive(image, b"", DerivationChanges(fix=True))
    with pytest.raises(Unsupported, match="digest of one of its members"):
        derive(replace(image, config=None, manifests=image.layers), b"", DerivationChanges(fix=True))


@pytest.mark.parametrize(
    ("manifest", "compressed", "mended"),
    [
        (manifest_of(CONTIV), True, ()),
        (manifest_of(CONTIV, mediaType=None), True, ("manifest: mediaType added",)),
        (
            manifest_of(CONTIV, media_types.OCI_MANIFEST, layer_type=media_types.OCI_LAYER_GZIP),
            True,
            (
                f"manifest: {media_types.OCI_MANIFEST} -> {media_types.DOCKER_MANIFEST}",
                f"layer 1: {media_types.OCI_LAYER_GZIP} -> {media_types.DOCKER_LAYER_GZIP}",
            ),
        ),
        (
            manifest_of(CONTIV),
            False,
            (f"layer 1: {media_types.DOCKER_LAYER_GZIP} -> {media_types.DOCKER_LAYER}",),
        ),
    ],
)
def test_what_is_mended_leaves_nothing_to_find(manifest: Manifest, compressed: bool, mended: tuple[str, ...]) -> None:
    facts = {digest: replace(one, compressed=compressed) for digest, one in FACTS.items()}
    assert manifest_checks.check_plugin(manifest, len(CONTIV), CONTIV, facts) != ()
    plugin = derive(manifest, CONTIV, DerivationChanges(fix=True), facts)
    assert plugin.changed == ("diff_ids: those of the uncompressed layers", *mended)
    assert manifest_checks.check_plugin(plugin.manifest, len(plugin.config), plugin.config, facts) == ()
    again = derive(plugin.manifest, plugin.config, DerivationChanges(fix=True), facts)
    assert (again.manifest, again.changed) == (plugin.manifest, ())


@pytest.mark.parametrize("facts", [{}, {Digest.of(LAYER): LayerFacts(7, False, None, 0, 0, LayerProblem.ZSTD)}])
def test_layers_that_cannot_be_mended(facts: dict[Digest, LayerFacts]) -> None:
    with pytest.raises(ManifestInvalid, match=r"layer 1 .*cannot be fixed in a copy"):
        derive(manifest_of(CONTIV), CONTIV, DerivationChanges(fix=True), facts)


def test_names_are_filled_in_and_nothing_else_is() -> None:
    literal = '{{.Name}} {"a": 1} {} ${x'
    changes = DerivationChanges(
        env={"a": "mirror:5000/{name}:{tag}", "b": literal, "c": "{{tag}} {{x}}"}, args=("{tag}",)
    )
    filled = changes.filled_in(Repository("acme/driver"), Tag("1.0"))
    assert filled.env == {"a": "mirror:5000/acme/driver:1.0", "b": literal, "c": "{tag} {x}"}
    assert filled.args == ("1.0",)


def test_an_unknown_placeholder_is_refused() -> None:
    with pytest.raises(ConfigurationFault, match=r"^{repo} .* is unknown; fix: write {name} or {tag}, or {{repo}} for"):
        DerivationChanges(mounts={"a": "/srv/{repo}"}).filled_in(Repository("a"), Tag("1"))
