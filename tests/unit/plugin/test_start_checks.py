"""Findings about programs that wrappers and scripts start."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from mirror.plugin.lint.plugin_view import PluginContent, view_plugin
from mirror.plugin.rootfs.entry import LayerEntry
from mirror.plugin.rootfs.platform import Platform
from tests.support.rootfs import SOCKET, config, elf, file, folder, link, rootfs

Told = tuple[LayerEntry, bytes]

MUSL = [link("bin/sh", "busybox"), file("bin/busybox", elf(loader="/lib/ld-musl.so")), file("lib/ld-musl.so", elf())]
STATIC = elf() + SOCKET.encode()
GLIBC = elf(loader="/lib64/ld-linux.so.2", needed=["libc.so.6"]) + SOCKET.encode()
ARM = elf(183) + SOCKET.encode()
TINI = file("tini", elf())
EXEC = "exec /driver"
FOREVER = "while true; do /driver; sleep 5; done &\nwait"


def found(*entries: Told, hosts: str | None = None, **members: Any) -> list[str]:
    """Return severity and code of each finding."""
    content = PluginContent(config(**members), rootfs(*MUSL, *entries, names=[SOCKET.encode()]))
    view = view_plugin(content, hosts=Platform.parse(hosts) if hosts else None)
    return [f"{finding.severity.value} {finding.code}" for finding in view.findings]


def started_by(text: str, *entries: Told, **members: Any) -> list[str]:
    """Return the findings for a plugin that starts with this script."""
    whole = f"#!/bin/sh\n# {SOCKET}\n{text}\n".encode()
    return found(file("start.sh", whole), *entries, **{"Entrypoint": ["/start.sh"]} | members)


@pytest.mark.parametrize(
    ("text", "entries", "expected"),
    [
        (EXEC, [file("driver", STATIC)], []),
        (EXEC, [file("driver", GLIBC)], ["error loader-missing"]),
        (FOREVER, [file("driver", GLIBC)], ["warning loader-missing"]),
        ("[ $X ] && /driver", [file("driver", GLIBC)], ["hint script-condition"]),
        (EXEC, [file("driver", GLIBC), file("lib64/ld-linux.so.2", elf())], ["error libraries-missing"]),
        (FOREVER, [file("driver", GLIBC), file("lib64/ld-linux.so.2", elf())], ["warning libraries-missing"]),
        (EXEC, [file("driver", b"#!/bin/bash\n")], ["error interpreter-missing"]),
        (FOREVER, [file("driver", b"#!/bin/bash\n")], ["warning interpreter-missing"]),
        (EXEC, [file("driver", b"#!/bin/sh\r\n")], ["error interpreter-missing"]),
        (FOREVER, [file("driver", b"#!/bin/sh\r\n")], ["warning interpreter-missing"]),
        (EXEC, [], ["error program-missing"]),
        (FOREVER, [], ["warning program-missing"]),
        ("[ -x /driver ] && /driver", [], []),
        ("exec driver", [file("driver", STATIC)], ["error program-missing"]),
        ("sh /lib/more.sh", [], ["error program-missing"]),
        ("sh /lib/more.sh", [file("lib/more.sh", b"exec /driver", 0o644)], ["error program-missing"]),
        ("sh -e /lib/more.sh", [file("lib/more.sh", b"exec /driver", 0o644)], ["error program-missing"]),
        (EXEC, [file("driver", STATIC, 0o644)], ["error program-not-executable"]),
        (FOREVER, [file("driver", STATIC, 0o644)], ["warning program-not-executable"]),
        (EXEC, [folder("driver")], ["error program-not-executable"]),
        (EXEC, [file("driver", b"text without an interpreter")], []),
        (f"{EXEC} -x", [file("driver", elf(0x9999))], ["error platform-unknown"]),
        ("modprobe x; ip link; echo y; sleep 1; exec /driver", [file("driver", STATIC)], []),
    ],
)
def test_programs_of_a_script(text: str, entries: list[Told], expected: list[str]) -> None:
    assert started_by(text, *entries) == expected


def test_bare_names_that_a_script_creates() -> None:
    assert started_by("cp /dist/* /usr/local/bin/\nexec driver") == []
    assert started_by("cp /dist/* /nowhere/\nexec driver") == ["error program-missing"]


@pytest.mark.parametrize(
    "text",
    [
        "cp /opt/driver /driver",
        "cp -r /opt/all /",
        "mv /opt/driver /driver",
        "ln -s /opt/driver /driver",
        "install -m 755 /opt/driver /driver",
        "curl -fsSLo /driver http://host/driver",
        "cd / && wget http://host/driver",
        "wget -O/driver http://host/driver",
        "wget --output-document=/driver http://host/driver",
        "cd /; curl -fsSLO http://host/driver",
        "tar -xf /opt/driver.tar",
        "apk add driver",
        "cat >/driver </opt/driver",
        "base64 </opt/driver | tee /driver",
        'cp /opt/driver "$TARGET"',
        "dd if=/opt/driver of=/driver",
        "/bin/busybox --install -s /bin",
        "mount --bind /opt/driver /driver",
    ],
)
def test_files_that_a_script_creates_are_not_missing(text: str) -> None:
    assert started_by(f"{text}\n{EXEC}", file("bin/base64", elf())) == []


@pytest.mark.parametrize(
    "text",
    [
        "curl -fs http://host/health",
        "wget -qO- http://host/health",
        "wget --spider http://host/health",
        "mount -t sysfs sysfs /sys",
        "mount --make-rshared /",
        "cp /a /b; echo >/log; tee /log </a; mkdir /driver",
    ],
)
def test_other_commands_hide_nothing(text: str) -> None:
    assert started_by(f"{text}\n{EXEC}") == ["error program-missing"]


def test_a_script_may_correct_what_lint_would_report() -> None:
    assert started_by(f"chmod +x /driver\n{EXEC}", file("driver", STATIC, 0o644)) == []
    assert started_by(f"ln -s /lib/ld-musl.so /lib64/ld-linux.so.2\n{EXEC}", file("driver", GLIBC)) == []
    libraries = [file("driver", GLIBC), file("lib64/ld-linux.so.2", elf())]
    assert started_by(f"cp /opt/libc.so.6 /usr/lib/\n{EXEC}", *libraries) == []


def test_a_mount_over_a_program_is_not_looked_behind() -> None:
    mounts = [{"Source": "/host", "Destination": "/host", "Type": "bind", "Options": ["rbind"]}]
    hint = ["hint host-paths"]
    assert started_by("exec /host/driver", Mounts=mounts) == hint
    assert started_by("exec /state/driver", folder("state"), PropagatedMount="/state") == []
    assert started_by(". /host/settings\nexec /driver $x", file("driver", STATIC), Mounts=mounts) == hint


@pytest.mark.parametrize(
    ("destination", "path", "covered"),
    [
        ("/opt", "/opt/driver", True),
        ("opt/", "/opt", True),
        ("/", "/x", True),
        ("/opt", "/optional", False),
        ("", "/x", False),
    ],
)
def test_mounts_cover_what_lies_below(destination: str, path: str, covered: bool) -> None:
    mount = {"Source": "/host", "Destination": destination, "Type": "bind", "Options": ["rbind"]}
    assert ("error program-missing" in started_by(f"exec {path}", Mounts=[mount])) is not covered


def steps(number: int) -> int:
    """Count the calls of functions while a plugin with many mounts and many commands is checked."""
    text = "".join(f"/x{one}\n" for one in range(number))
    mounts = [{"Source": "/s", "Destination": f"/sys/{one}", "Type": "tmpfs"} for one in range(number)]
    whole = rootfs(*MUSL, file("start.sh", f"#!/bin/sh\n{text}".encode()))
    content = PluginContent(config(Entrypoint=["/start.sh"], Mounts=mounts), whole)
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(note)
    try:
        view_plugin(content)
    finally:
        sys.setprofile(None)
    return count


def test_the_work_grows_with_mounts_and_commands_and_not_with_their_product() -> None:
    assert steps(400) < 3 * steps(200)


@pytest.mark.parametrize(
    ("arguments", "entries", "expected"),
    [
        (["/tini", "--", "/driver"], [TINI, file("driver", GLIBC)], ["error loader-missing"]),
        (["/tini", "--", "/driver"], [TINI, file("driver", STATIC)], []),
        (["/tini", "--", "/driver"], [file("driver", GLIBC)], ["error entrypoint-missing"]),
        (["/bin/sh", "-c", EXEC], [file("driver", GLIBC)], ["error loader-missing"]),
        (["/bin/sh", "-c", "exec /driver -s driver.sock"], [], ["error program-missing"]),
        (["/tini", "--", "/driver"], [TINI, file("driver", ARM)], ["warning platforms-mixed"]),
        (["/tini", "--", "/driver"], [TINI, file("driver", elf(3, wide=False) + SOCKET.encode())], []),
    ],
)
def test_wrappers_in_the_config(arguments: list[str], entries: list[Told], expected: list[str]) -> None:
    assert found(*entries, Entrypoint=arguments) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [(EXEC, ["error platform-wrong"]), (FOREVER, ["warning platform-wrong"])],
)
def test_a_program_for_another_platform_behind_a_script(text: str, expected: list[str]) -> None:
    assert started_by(text, file("driver", ARM), hosts="linux/amd64") == expected


def test_a_program_for_each_platform() -> None:
    text = "case $(uname -m) in aarch64) exec /arm;; *) exec /driver;; esac"
    assert started_by(text, file("arm", ARM), file("driver", STATIC), hosts="linux/amd64") == []


def test_musl_takes_the_place_of_some_libraries() -> None:
    gcompat = [file("driver", GLIBC), file("lib/ld-musl-x86_64.so.1"), link("lib64/ld-linux.so.2", "/lib/gcompat")]
    assert started_by(EXEC, *gcompat, file("lib/gcompat", elf())) == []
    more = file("driver", elf(loader="/lib/ld-musl-x86_64.so.1", needed=["libmore.so"]))
    assert started_by(EXEC, *gcompat[1:], file("lib/gcompat", elf()), more) == ["error libraries-missing"]


def test_the_message_names_the_place_and_the_cause() -> None:
    view = view_plugin(
        PluginContent(
            config(Entrypoint=["/start.sh"], Env=[{"Name": "iflist", "Value": ""}]),
            rootfs(
                *MUSL,
                file("start.sh", b"#!/bin/sh\n\n/driver -vlan-if $iflist -store x\nsleep 9\n"),
                file("driver", GLIBC),
            ),
        )
    )
    loader, flag = view.findings[:2]
    assert loader.text == (
        "the program /driver (started by /start.sh, line 3) needs the loader /lib64/ld-linux.so.2, which is not in the "
        "root filesystem; this is a guess, because the script was read and not run"
    )
    assert "cannot execute: required file not found" in loader.seen
    assert flag.text == (
        "/start.sh, line 3: the value of -vlan-if is the setting iflist, which is empty by default and not quoted, so "
        "-vlan-if takes -store for its value"
    )
    assert flag.seen.endswith("; this is a guess, because only the program knows whether -vlan-if takes a value")
    assert flag.fix.startswith(
        "set iflist=VALUE at the install if the setting is settable, or write -vlan-if=$iflist in the script"
    )


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (': "${x:?}"', 1),
        ("echo ${x:?set x}\n: ${x:?}", 1),
        ("y=$x; : ${y:?}", 1),
        ("f() { : ${x:?}; }; f", 1),
        (": ${filled:?}", 0),
        (": ${x?}", 0),
        (": ${x:=a}; : ${x:?}", 0),
        ("[ $mode = a ] && : ${x:?}", 0),
        ("(: ${x:?})", 0),
        ("sh -c ': ${x:?}'", 1),
        ("[ $mode = a ] && sh -c ': ${x:?}'", 0),
        ("f() { : ${x:?}; }", 0),
        ("x=a; : ${x:?}", 0),
        (". /host/x\n: ${x:?}", 0),
    ],
)
def test_settings_that_a_script_demands(text: str, count: int) -> None:
    env = [{"Name": "x", "Value": ""}, {"Name": "filled", "Value": "a"}]
    findings = started_by(f"{text}\n{EXEC}", file("driver", STATIC), file("host/x", b"#!/bin/sh\nread x\n"), Env=env)
    assert findings == ["warning setting-demanded"] * count


def test_a_flag_at_the_end_has_no_value() -> None:
    assert started_by("/driver -if $x", file("driver", STATIC), Env=[{"Name": "x"}]) == ["warning flag-swallowed"]
