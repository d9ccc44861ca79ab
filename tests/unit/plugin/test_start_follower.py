"""Programs that a plugin starts, found through wrappers and scripts, and compared with a real shell."""

from __future__ import annotations

import os
import subprocess
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.plugin.rootfs.entry import LayerEntry
from mirror.plugin.startup.plugin_platform import platform_of
from mirror.plugin.startup.start_follower import follow_start
from mirror.plugin.startup.started_programs import Certainty, StartedProgram
from tests.support.rootfs import config, elf, file, link, rootfs

Told = tuple[LayerEntry, bytes]

SHELL = [file("bin/busybox", elf()), link("bin/sh", "busybox"), link("usr/bin/env", "/bin/busybox")]
PROGRAMS = [file("a", elf()), file("b", elf()), file("bin/c", elf()), file("opt/d", elf()), file("tini", elf())]


def script(text: str, mode: int = 0o755, path: str = "start.sh") -> Told:
    return file(path, f"#!/bin/sh\n{text}".encode(), mode)


def started(*entries: Told, hidden: str = "", **members: Any) -> tuple[StartedProgram, ...]:
    whole = rootfs(*SHELL, *PROGRAMS, *entries)
    return follow_start(config(**members), whole, lambda path: bool(hidden) and path.startswith(hidden)).programs


def shown(programs: tuple[StartedProgram, ...]) -> list[str]:
    """Return what the entrypoint starts: ``!`` for certain starts, ``?`` for possible ones, ``-`` for missing files."""
    marks = {Certainty.CERTAIN: "!", Certainty.LIKELY: "", Certainty.POSSIBLE: "?"}
    return [f"{marks[one.certainty]}{'-' * (one.found is None)}{one.name}" for one in programs[1:]]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["/a"], []),
        (["/tini", "--", "/a"], ["!/a"]),
        (["/tini", "-s", "-e", "143", "/a", "-x"], ["!/a"]),
        (["/tini", "-vg", "--", "c"], ["!c"]),
        (["/tini", "--unknown", "/a"], []),
        (["/bin/sh", "-c", "exec /a -x"], ["!/a"]),
        (["/bin/sh", "-ec", "/a & /b"], ["/a", "/b"]),
        (["/bin/sh", "-euo", "pipefail", "-c", "exec /a"], ["!/a"]),
        (["/bin/sh", "+o", "posix", "/start.sh"], ["!/start.sh", "!/a"]),
        (["sh", "-c", 'exec "$0" "$@"', "/a", "/b"], []),
        (["sh", "-c", 'exec "$@"', "sh", "/a", "/b"], ["!/a"]),
        (["/bin/busybox", "sh", "-c", "/a"], ["!/a"]),
        (["/bin/sh", "/start.sh"], ["!/start.sh", "!/a"]),
        (["env", "X=1", "Y=2", "/a"], ["!/a"]),
        (["/usr/bin/env", "-i", "-u", "Z", "X=1", "c"], ["!c"]),
        (["/tini", "--", "/bin/sh", "-c", "exec env X=1 /a"], ["!/bin/sh", "!env", "!/a"]),
        (["/bin/sh", "-c", "$COMMAND"], []),
        (["/bin/sh", "-s"], []),
        (["/tini", "--", "/nope"], ["!-/nope"]),
        (["env", "-", "X=1", "/a"], ["!/a"]),
        (["/bin/busybox", "flock", "-n", "/lock", "/a"], ["!/a"]),
        (["/bin/busybox", "flock", "/lock", "-c", "/a"], []),
        (["/bin/busybox", "runuser", "-u", "nobody", "--", "/a"], ["!/a"]),
        (["/bin/busybox", "runuser", "nobody", "-c", "/a"], []),
        (["/bin/busybox", "runuser", "-", "nobody"], []),
        (["env", "PATH=/opt:/bin", "d"], ["!d"]),
        (["env", "-i", "PATH=/opt", "c"], ["!-c"]),
        (["/tini", "env", "PATH=/opt:/bin", "sh", "-c", "d"], ["!env", "!sh", "!d"]),
    ],
)
def test_arguments_of_the_config(arguments: list[str], expected: list[str]) -> None:
    assert shown(started(script("exec /a"), Entrypoint=arguments)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a", ["!/a"]),
        ("/a\n/b", ["/a", "/b"]),
        ("mkdir -p /x\nexec /a\n/b", ["!/a"]),
        ("exec >/log 2>&1\nexec /a", ["!/a"]),
        ("[ -n $X ] || exit 1\nexec /a", ["!/a"]),
        ("if [ $X = y ]; then exec /a; fi\nexec /b", ["?/a", "/b"]),
        ("/a || /b", ["?/a", "?/b"]),
        ("[ -x /a ] && /a", ["?/a"]),
        ("cd /opt && exec ./d", ["!./d"]),
        ("cd $X && exec ./d", []),
        ("while true; do /a; sleep 1; done &\nwait", ["/a"]),
        ("for i in 1 2; do /a; done", ["/a"]),
        ("c; nope; mkdir /x; [ a ]; unknown=1", ["c", "-nope"]),
        ("nohup /a >/log 2>&1 &\nexec su-exec nobody:nobody /b", ["/a", "!-su-exec", "!/b"]),
        ("setsid nice -n 5 timeout -s KILL 10 /a", ["!/a"]),
        ("P=/a\nexec $P", ["/a"]),
        ("P=/a\n[ $X ] && P=/b\nexec $P", []),
        ('exec "${P:-/a}" -x', ["/a"]),
        ("D=/opt\nexec ${D}/d", ["/opt/d"]),
        ("x=' -y'\nexec /a$x", ["/a"]),
        ("$(/a)", ["?/a"]),
        ('main() {\n  exec "$@"\n}\nmain /a\n/b', ["!/a"]),
        ("f() { f; }; f", []),
        ("f() { /a; }\n[ $X ] && f", ["?/a"]),
        ("die() { exit 1; }\n[ $X ] || die\nexec /a", ["!/a"]),
        (". /lib/more.sh\nexec $P", ["/lib/more.sh", "/b", "/a"]),
        (". /lib/unknown\nP=/a\nwhat; exec $P", ["-/lib/unknown", "/a"]),
        (". /lib/unknown\nexec /nope", ["-/lib/unknown", "-/nope"]),
        ("/bin/again", ["!/bin/again", "!/bin/again"]),
        ("cat <<END\n/b\nEND\nexec /a", ["!/a"]),
        ("eval exec /a", ["/a"]),
        ("PATH=$PATH:/opt\nexec d", ["!d"]),
        ("PATH=$(/a)\nexec d", ["?/a"]),
        ('set -- /a -x\nexec "$@"', ["!/a"]),
        ('set -- x /a\nshift\nexec "$@"', ["!/a"]),
        ('case $1 in -*) set -- /a;; esac\nexec "$@"', []),
        ("exec /a \\\n  -x", ["!/a"]),
        ("(exec /a)\n/b", ["/a", "/b"]),
        ("exit 0\n/a", []),
        ("if /a; then :; fi", ["?/a"]),
        ("'", []),
        ("PATH=/opt:$PATH d", ["!d"]),
        ("exec env PATH=/opt:$PATH d", ["!env", "!d"]),
        ("PATH=$unset d", []),
        ("PATH=$(/a) d", ["?/a"]),
        ("exec env PATH=$(/a) d", ["?/a", "env"]),
        ("X=$(/a) PATH=/opt d", ["?/a", "d"]),
        ("exec /nope || exec /a", ["!-/nope"]),
        ("time -p /a", ["!/a"]),
        ("exec {lock}>/log\nexec 3>&{lock} /a", ["!/a"]),
        ("alias c=/a\nc\nexec /b", ["/b"]),
        ("exec /o*/d", []),
        ("exec /opt/[cd]", []),
        ("exec /{opt,bin}/d", []),
        ("exec '/o*/d'", ["!-/o*/d"]),
        ("P=/o?t; exec $P/d", []),
        ("exec ~/d", []),
        ("HOME=/opt; cd ~; exec ./d", []),
        ("P=~/d; exec $P", []),
        ("PATH=/bin:~/opt; exec d", []),
        ("set -- /o*/d; exec $1", []),
        ("echo *; [ a ] && ls /opt/* ~; exec /a", ["!/a"]),
        ("[ $x ] && exec /nope || exec /a", ["?-/nope", "?/a"]),
    ],
)
def test_commands_of_a_script(text: str, expected: list[str]) -> None:
    more = script("P=/a\n/b\n", 0o644, "lib/more.sh")
    again = file("bin/again", b"#!/bin/sh\n/bin/again\n")
    assert shown(started(script(text), more, again, Entrypoint=["/start.sh"])) == expected


def test_the_place_of_a_command_is_known() -> None:
    programs = started(
        script("\n# first\nsh -c 'c' /x\nsh /lib/more.sh"),
        script("\n\n/a", path="lib/more.sh"),
        Entrypoint=["/start.sh"],
    )
    assert [(one.name, one.by, one.line) for one in programs[1:]] == [
        ("sh", "/start.sh", 4),
        ("c", "/start.sh", 4),
        ("sh", "/start.sh", 5),
        ("/lib/more.sh", "/start.sh", 5),
        ("/a", "/lib/more.sh", 4),
    ]


def test_settings_have_their_defaults() -> None:
    env = [{"Name": "P", "Value": "/a"}, {"Name": "PATH", "Value": "/opt"}]
    assert shown(started(script("$P &\nexec d"), Entrypoint=["/start.sh"], Env=env)) == ["/a", "d"]


def test_what_the_host_provides_is_not_followed() -> None:
    assert shown(started(script("/a\n/opt/d"), hidden="/opt", Entrypoint=["/start.sh"])) == ["/a"]
    assert started(script("/a"), hidden="/start.sh", Entrypoint=["/start.sh"]) == ()


def test_services_of_s6() -> None:
    services = [script("exec /a", path="etc/services.d/x/run"), script("exec /b", path="etc/s6-overlay/s6-rc.d/y/run")]
    assert shown(started(*services, file("init", elf()), Entrypoint=["/init"])) == [
        "/etc/services.d/x/run",
        "/a",
        "/etc/s6-overlay/s6-rc.d/y/run",
        "/b",
    ]


def test_a_program_in_the_arguments_of_s6() -> None:
    assert shown(started(file("init", elf()), Entrypoint=["/init", "/a"])) == ["/a"]


def test_links_to_what_the_host_provides() -> None:
    links = [link("x", "/host/x"), link("y", "proc/self/exe"), link("z", "nowhere")]
    assert shown(started(script("/x; /y; /z; /tmp/w"), *links, hidden="/host/", Entrypoint=["/start.sh"])) == ["-/z"]


def test_scripts_that_start_scripts_without_end() -> None:
    """Each script starts the next one twice: the number of starts is limited, not only their depth."""
    many = [script(f"/s/{number + 1}\n" * 2 + "/a\n" * 100, path=f"s/{number}") for number in range(50)]
    assert len(started(*many, Entrypoint=["/s/0"])) < 2_000


@pytest.mark.parametrize(
    "text",
    [
        "||".join(f"$x{number}" for number in range(8000)),
        "if $x\nthen b\n" + "".join(f"elif $x{number}\nthen b\n" for number in range(2500)) + "fi",
        f"x={'v' * 4000}\nb {'$x' * 30_000}",
        f"x={'v' * 4000}\nf() {{ b {'$x' * 10_000}; }}\n" + "f\n" * 5000,
        f"f() {{ b ${{x:-{'v ' * 15_000}}}; }}\n" + "f\n" * 5000,
        f'b\nsh -c "{"-a $e. " * 9000}"',
        f"x='{'[' * 4000}'\n" + "b $x $x $x\n" * 1900,
        f"f() {{ b {{{',' * 30_000}; }}\n" + "f\n" * 1900,
    ],
)
def test_scripts_that_would_take_much_memory_or_time_are_given_up(text: str) -> None:
    tracemalloc.start()
    started(script(text), Entrypoint=["/start.sh"], Env=[{"Name": "e", "Value": ""}])
    most_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most_bytes < 64 * 1024 * 1024


def test_values_do_not_grow_without_end() -> None:
    assert shown(started(script("x=/a\n" + "x=$x$x\n" * 100 + "exec $x"), Entrypoint=["/start.sh"])) == []


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("exec /arm", "linux/arm64"),
        ("/arm &\nsleep 5", "linux/arm64"),
        ("/a\n/arm || exit", "linux/amd64"),
        ("[ $X ] && exec /arm", "linux/amd64"),
    ],
)
def test_the_platform_is_that_of_the_program_behind_the_script(text: str, platform: str) -> None:
    whole = rootfs(*SHELL, *PROGRAMS, script(text), file("arm", elf(183)))
    assert str(platform_of(config(Entrypoint=["/start.sh"]), whole)) == platform


PARTS = (
    '/a , exec , eval , $x , "$@" , ${y:-/b} , x=/a , x+=$y , set -- , shift , shift 9 , cd .. , cd , . /start.sh , '
    "sh -c , sh , /start.sh , '/a -f $y z' , f() { , } , f , ; , \n , & , | , && , || , if , then , fi , ( , ) , $( , "
    "` , >/c , <<x , env -u , timeout , su-exec , -c , -- , unset x , read y , export x=$y , exit , return , chmod , "
    "cp , wget , dd , busybox , exec -a , nice -n , printf -v x , [ $y ] , while true; do , done , -f $y"
)


@given(st.lists(st.sampled_from(PARTS.split(" , ")), max_size=40).map(" ".join))
def test_any_script_is_followed_to_an_end(text: str) -> None:
    env = [{"Name": "y", "Value": ""}]
    for arguments in (["/start.sh", "/a", "-x"], ["/bin/sh", "-c", text], ["busybox", *text.split(" ")]):
        started(script(text), Entrypoint=arguments, Env=env)


NAMES = st.sampled_from(["one", "two", "three", "four"])
SIMPLE = st.one_of(
    NAMES,
    st.sampled_from(["env X=1 {}", "nohup {}", "nice {}", "sh -c '{}'"]).flatmap(lambda form: NAMES.map(form.format)),
    st.sampled_from(["true", "false", "X=1", "[ a = a ]", "[ a = b ]", "exit", ": $(one)"]),
)
SCRIPTS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["; ", "\n", " && ", " || ", " & wait; ", " | "]), inner).map(
            lambda parts: f"{{ {parts[0]}\n}}{parts[1]}{{ {parts[2]}\n}}" if parts[1] != "\n" else "\n".join(parts[::2])
        ),
        inner.map("if true; then\n{}\nfi".format),
        inner.map("if [ a = b ]; then\n:\nelse\n{}\nfi".format),
        inner.map("for i in 1 2; do\n{}\ndone".format),
        inner.map("( {}\n)".format),
        inner.map("f() {{\n{}\n}}\nf".format),
        inner.map("case x in x)\n{}\n;; esac".format),
    ),
    max_leaves=6,
)  # fmt: skip


@given(SCRIPTS)
def test_a_real_shell_executes_what_was_found(text: str) -> None:
    """Every program that a shell executes is found, and a shell executes every program that is not just possible."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in ("one", "two", "three", "four"):
            (place / name).write_text(f"#!/bin/sh\necho {name} >>{folder}/log\n")
            (place / name).chmod(0o755)
        (place / "log").touch()
        subprocess.run(
            ["/bin/sh", "-c", text],
            env={"PATH": f"{folder}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        executed = set((place / "log").read_text().split())
    programs = [file(f"bin/{name}", elf()) for name in ("one", "two", "three", "four")]
    found = [one for one in started(script(text), *programs, Entrypoint=["/start.sh"])[1:] if one.name in NAMED]
    assert executed <= {one.name for one in found}
    assert {one.name for one in found if one.certainty is not Certainty.POSSIBLE} <= executed


NAMED = {"one", "two", "three", "four"}
