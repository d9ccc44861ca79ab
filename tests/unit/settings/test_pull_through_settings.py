from datetime import timedelta
from pathlib import Path

import pytest

from mirror.oci.errors import ConfigurationFault
from mirror.settings import load

UPSTREAM = "upstreams: {hub: {url: 'https://hub.example'}}\n"


def loaded(folder: Path, text: str):
    file = folder / "config.yaml"
    file.write_text(UPSTREAM + text)
    return load(file)


def test_without_a_word_a_tag_is_fresh_for_five_minutes_and_downloads_are_finished(tmp_path: Path) -> None:
    section = loaded(tmp_path, "").pull_through
    assert (section.fresh_for_duration, section.unattended) == (timedelta(minutes=5), "finish")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pull_through: {fresh_for: 119s}", "at least 2m"),
        ("pull_through: {fresh_for: 1m}", "at least 2m"),
        ("pull_through: {fresh_for: '0'}", "fresh_for"),
        ("pull_through: {unattended: never}", "unattended"),
        ("proxy: [{from: 'hub/**', to: 'plugins'}]", "the same \\* and \\*\\*"),
        ("proxy: [{from: 'hub/**', to: '**/hub'}]", "last component"),
        ("proxy: [{from: 'hub', to: 'hub'}]", "is not UPSTREAM/REPOSITORY"),
        ("proxy: [{from: 'quay/**', to: '**'}]", "no upstream is named 'quay'"),
        ("proxy: [{from: 'hub/**', to: '**', platforms: [arm]}]", "'arm' is not a platform"),
        ("server: {reserved: ['ACME/**']}", "is not a repository name or a pattern"),
    ],
)
def test_what_makes_no_sense_is_said(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigurationFault, match=told):
        loaded(tmp_path, text)


def test_the_shortest_freshness(tmp_path: Path) -> None:
    assert loaded(tmp_path, "pull_through: {fresh_for: 2m}").pull_through.fresh_for_duration == timedelta(minutes=2)
