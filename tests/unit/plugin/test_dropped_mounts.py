"""Mounts that engines drop. The expected values were measured with engines 20.10.24 and 26.1.5."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.plugin.config.dropped_mounts import dropped_mounts, with_made_mounts
from tests.support.rootfs import config


def mounts(*places: str) -> list[dict[str, object]]:
    return [{"Source": "/tmp", "Destination": place, "Options": ["bind"]} for place in places]


@pytest.mark.parametrize(
    ("places", "kept"),
    [
        (["/m", "/dev"], ["/m", "/dev"]),
        (["/dev/x"], []),
        (["/dev/"], []),
        (["/dev//x"], []),
        (["/m/../dev/x"], ["/m/../dev/x"]),
        (["/dev/x", "/m"], ["/m"]),
        (["/m", "/dev/x"], ["/m"]),
        (["/dev/x", "/dev/y"], ["/dev/y"]),
        (["/dev/x", "/dev/y", "/dev/z"], ["/dev/y"]),
        (["/dev/x", "/m", "/dev/y", "/n"], ["/m", "/n"]),
        (["/dev/shm"], ["/dev/shm"]),
        (["/m", "/dev/shm"], ["/m"]),
        (["/dev/pts"], []),
    ],
)
def test_mounts_below_dev(places: list[str], kept: list[str]) -> None:
    made = with_made_mounts(config(Mounts=mounts(*places)))
    assert [mount.destination for mount in made.mounts] == kept


def test_the_propagated_mount_keeps_its_neighbour_away() -> None:
    assert dropped_mounts(config(Mounts=mounts("/dev/shm"), PropagatedMount="/data")) == {0}


@given(st.lists(st.sampled_from(["/dev/x", "/dev/shm", "/dev/pts", "/m", ""]), max_size=8))
def test_only_mounts_below_dev_are_dropped(places: list[str]) -> None:
    dropped = dropped_mounts(config(Mounts=mounts(*places)))
    assert all(places[number].startswith("/dev/") for number in dropped)
