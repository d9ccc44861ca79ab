"""Flags whose value is a setting that is empty by default."""

from __future__ import annotations

import pytest

from mirror.plugin.startup.start_follower import follow_start
from tests.support.rootfs import config, elf, file, link, rootfs

SETTINGS = {"uplink": "", "unset": None, "store": "etcd://a", "role": "master", "extra_args": "", "blank": " "}


def swallowed(text: str) -> list[tuple[int, str, str, str]]:
    """Return line, flag, setting and next word of each flag without its value."""
    entries = [file("bin/sh", elf()), file("p", elf()), file("start.sh", f"#!/bin/sh\n{text}".encode()), link("q", "p")]
    env = [{"Name": name, "Value": value} for name, value in SETTINGS.items()]
    found = follow_start(config(Entrypoint=["/start.sh"], Env=env), rootfs(*entries)).swallowed
    return [(one.line, one.flag, one.setting, one.following) for one in found]


FOUND = (2, "-if", "uplink", "-store")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/p -if $uplink -store $store", [FOUND]),
        ("/p -if ${uplink} -store $store", [FOUND]),
        ("/p -if ${uplink:-} -store $store", [FOUND]),
        ("/p --if $unset x", [(2, "--if", "unset", "x")]),
        ("/p -if $uplink", [(2, "-if", "uplink", "")]),
        ("/p -if $uplink $unset -x", [(2, "-if", "uplink", "-x")]),
        ("/p -if $uplink$unset -x", [(2, "-if", "uplink", "-x")]),
        ("exec /p -if $uplink -store", [FOUND]),
        ("exec su-exec root /p -if $uplink -store", [FOUND]),
        ("env A=b /p -if $uplink -store", [FOUND]),
        ("p -if $uplink -store >/log 2>&1 &", [FOUND]),
        ("/p \\\n  -if $uplink \\\n  -store", [(3, "-if", "uplink", "-store")]),
        ("if [ $uplink == x ]; then echo y; fi\n/p -if $uplink -store", [(3, "-if", "uplink", "-store")]),
        ("while true; do /p -if $uplink -store; done &", [FOUND]),
        ("if [ $role = master ]; then /p -if $uplink -store; fi", [FOUND]),
        ("x=$uplink\n/p -if $x -store", [(3, "-if", "uplink", "-store")]),
        ('x="$uplink"; /p -if $x -store', [FOUND]),
        ('set -- -if $uplink -store\n/p "$@"', [FOUND]),
        ('args="-a b -if $uplink -store $store"\n/p $args', [(3, "-if", "uplink", "-store")]),
        ('args="-a"; args="$args -if $uplink"\n/p $args -store', [(3, "-if", "uplink", "-store")]),
        ("f() { /p -if $uplink -store; }; f", [FOUND]),
        ("sh -c '/p -if $uplink -store'", [FOUND]),
        ('sh -c "/p -if $uplink -store"', [FOUND]),
        ('eval "/p -if $uplink -store"', [FOUND]),
        ('su -c "/p -if $uplink -store" nobody', [FOUND]),
        ("/p -if $blank -store", [(2, "-if", "blank", "-store")]),
    ],
)
def test_an_empty_setting_is_found(text: str, expected: list[tuple[int, str, str, str]]) -> None:
    assert swallowed(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        '/p -if "$uplink" -store',
        "/p -if=$uplink -store",
        "/p -if $store -x",
        "/p -if ${uplink:-eth0} -store",
        "/p ${uplink:+-if $uplink} -store",
        "/p x $uplink -store",
        "/p -debug $extra_args -store",
        "/p -if x$uplink -store",
        "/p -if $unknown -store",
        '[ -n "$uplink" ] && /p -if $uplink -store',
        'if [ -n "$uplink" ]; then /p -if $uplink -store; fi',
        '[ -n "$uplink" ] || exit 1\n/p -if $uplink -store',
        'if [ -z "$uplink" ]; then echo set it; exit 1; fi\n/p -if $uplink -store',
        'die() { exit 1; }\n[ -n "$uplink" ] || die\n/p -if $uplink -store',
        ": ${uplink:?must be set}\n/p -if $uplink -store",
        ": ${uplink:=eth0}\n/p -if $uplink -store",
        '[ -z "$uplink" ] && uplink=eth0\n/p -if $uplink -store',
        "uplink=eth0\n/p -if $uplink -store",
        "read uplink\n/p -if $uplink -store",
        ". /unknown\n/p -if $uplink -store",
        'case "$uplink" in "") /p -x;; *) /p -if $uplink -store;; esac',
        'args="-a"; [ -n "$uplink" ] && args="$args -if $uplink"\n/p $args -store',
        'args="-if $uplink -store"; /p "$args"',
        "echo -n $uplink x",
        "mkdir -p $uplink x",
        "[ -d $uplink -a x ]",
        "# /p -if $uplink -store",
        "echo '/p -if $uplink -store'",
        "cat <<END\n/p -if $uplink -store\nEND",
        "exit\n/p -if $uplink -store",
    ],
)
def test_other_uses_of_a_setting_are_silent(text: str) -> None:
    assert swallowed(text) == []
