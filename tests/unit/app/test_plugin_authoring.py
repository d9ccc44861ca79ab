"""Plugins that commands build in the local store."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from mirror.app.plugin_authoring import build_plugin
from mirror.authoring.pack import Recipe, pack
from mirror.filters.shared_layers import SharedLayerReader
from mirror.oci import Reference
from mirror.settings import Settings
from mirror.transfer.progress_reporting import SilentProgress


async def test_the_layer_of_a_built_plugin_is_checked_without_reading_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the layer was read")

    monkeypatch.setattr(SharedLayerReader, "_read", fail)
    (tmp_path / "plugin/rootfs").mkdir(parents=True)
    (tmp_path / "plugin/config.json").write_text(json.dumps({"Entrypoint": ["/driver"]}))
    recipe = Recipe(tmp_path / "plugin", None, {}, latest_seconds=0, owners=False)
    settings = Settings.model_validate({"storage": {"path": str(tmp_path / "data")}})
    build = partial(pack, recipe, progress=SilentProgress())
    await build_plugin(settings, Reference.parse("site/driver:1"), build)
    # The checks would read a layer whose facts they do not have.
    monkeypatch.setattr(SharedLayerReader, "remember", lambda *_: None)
    with pytest.raises(AssertionError, match="the layer was read"):
        await build_plugin(settings, Reference.parse("site/driver:1"), build)
