from datetime import timedelta
from pathlib import Path

import pytest

from mirror.lifecycle.eviction import KeepLimits
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
        ("pull_through: {fresh_for: 119s}", "write 2m or more"),
        ("pull_through: {fresh_for: 1m}", "write 2m or more"),
        ("pull_through: {fresh_for: '0'}", "fresh_for"),
        ("pull_through: {unattended: never}", "unattended"),
        ("pull_through: {keep: {bytes: 0}}", "greater than 0"),
        ("pull_through: {keep: {bytes: much}}", "keep.bytes"),
        ("pull_through: {keep: {unused_for: 12h}}", "write 1d or more"),
        ("pull_through: {keep: {newest: 3}}", "newest"),
        ("pull_through: {when_full: panic}", "when_full"),
        ("proxy: [{from: 'hub/**', to: 'plugins'}]", "write the same ones in the same order"),
        ("proxy: [{from: 'hub/**', to: '**/hub'}]", "is not at the end"),
        ("proxy: [{from: 'hub', to: 'hub'}]", "is not UPSTREAM/REPOSITORY"),
        ("proxy: [{from: 'quay/**', to: '**'}]", "no upstream is named 'quay'"),
        ("proxy: [{from: 'hub/**', to: '**', platforms: [arm]}]", r"is not a platform \(arm\)"),
        ("server: {reserved: ['ACME/**']}", "is no name of repositories"),
    ],
)
def test_what_makes_no_sense_is_said(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigurationFault, match=told):
        loaded(tmp_path, text)


def test_the_shortest_freshness(tmp_path: Path) -> None:
    assert loaded(tmp_path, "pull_through: {fresh_for: 2m}").pull_through.fresh_for_duration == timedelta(minutes=2)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", KeepLimits()),
        ("pull_through: {keep: {bytes: 200GiB}}", KeepLimits(200 * 1024**3)),
        ("pull_through: {keep: {bytes: 5000000}}", KeepLimits(5_000_000)),
        ("pull_through: {keep: {bytes: 1.5 TB, unused_for: 90d}}", KeepLimits(1_500_000_000_000, timedelta(days=90))),
    ],
)
def test_pulled_content_is_kept_without_limits_or_within_those_given(
    tmp_path: Path, text: str, limits: KeepLimits
) -> None:
    section = loaded(tmp_path, text).pull_through
    assert (section.keep.limits(), section.when_full) == (limits, "evict")
