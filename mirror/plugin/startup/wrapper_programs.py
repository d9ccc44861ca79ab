"""Programs that start another program: init programs, shells, and programs that change what a program inherits."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mirror.plugin.rootfs.program import SHELLS

Arguments = Sequence[str | None]


@dataclass(frozen=True, slots=True)
class WrappedStart:
    """The command that a wrapper starts. Exactly one of ``arguments``, ``text`` and ``file`` is set.

    Attributes:
        arguments: name and arguments of a program; None stands for an unknown one.
        text: text of a shell script.
        file: path of a shell script.
        parameters: positional parameters of the script, from ``$1`` on.
    """

    arguments: Arguments = ()
    text: str | None = None
    file: str | None = None
    parameters: Arguments = ()


@dataclass(frozen=True, slots=True)
class _Options:
    """Options of a wrapper.

    Attributes:
        flags: letters of the options without a value.
        valued: letters of the options with a value.
        words: long options without a value, and a dash if it is an option.
        valued_words: long options whose value is the next argument.
        operands: number of arguments before the wrapped program.
        assignments: True if assignments may stand before the wrapped program.
        needed: option without which the arguments mean something else.
    """

    flags: str = ""
    valued: str = ""
    words: frozenset[str] = frozenset()
    valued_words: frozenset[str] = frozenset()
    operands: int = 0
    assignments: bool = False
    needed: str = ""


_TINI: Final = _Options("sgvwh", "pe")
_DUMB_INIT: Final = _Options("cv", "r", frozenset(["--single-child", "--verbose"]), frozenset(["--rewrite"]))
_USER: Final = _Options(operands=1)
_WRAPPERS: Final = {
    "tini": _TINI,
    "tini-static": _TINI,
    "docker-init": _TINI,
    "catatonit": _Options("gP"),
    "dumb-init": _DUMB_INIT,
    "env": _Options("i0v", "uC", frozenset(["-", "--ignore-environment"]), frozenset(["--unset"]), assignments=True),
    "nohup": _Options(),
    "setsid": _Options("cfw", words=frozenset(["--fork", "--wait", "--ctty"])),
    "nice": _Options("0123456789", "n", valued_words=frozenset(["--adjustment"])),
    "ionice": _Options("t", "cn", frozenset(["--ignore"]), frozenset(["--class", "--classdata"])),
    "timeout": _Options("v", "ks", frozenset(["--foreground", "--preserve-status"]), operands=1),
    "stdbuf": _Options("", "ioe"),
    "taskset": _Options("a", operands=1),
    "chrt": _Options("abfior", operands=1),
    "chpst": _Options("vP012", "uUbenmdopfcrtl/"),
    "flock": _Options("nsxuo", "wE", operands=1),
    "runuser": _Options("", "ugG", needed="-u"),
    "setpriv": _Options(
        words=frozenset(["--clear-groups", "--init-groups", "--keep-groups", "--no-new-privs"]),
        valued_words=frozenset(["--reuid", "--regid", "--groups", "--inh-caps", "--bounding-set"]),
    ),
    "su-exec": _USER,
    "gosu": _USER,
    "s6-setuidgid": _USER,
    "with-contenv": _Options(),
    "time": _Options("pv"),
    "sudo": _Options("EHn", "ug", assignments=True),
    "exec": _Options("cl", "a"),
    "command": _Options("p"),
    "builtin": _Options(),
}


def is_wrapper(name: str) -> bool:
    """Return True for the name of a program that starts another program."""
    base = posixpath.basename(name)
    return base in _WRAPPERS or base in SHELLS or base == "busybox"


def unwrap(arguments: Arguments) -> WrappedStart | None:
    """Return the command that a wrapper starts; None for another program, and if the command is unknown.

    An option that is not in the table makes the command unknown, because the option may have a value.

    Args:
        arguments: name and arguments of the wrapper; None stands for an unknown one.
    """
    name = posixpath.basename(arguments[0] or "") if arguments else ""
    rest = arguments[1:]
    if name == "busybox":
        return unwrap(rest) if rest and rest[0] and is_wrapper(rest[0]) and rest[0] != "busybox" else None
    if name in SHELLS:
        return _shell(rest)
    options = _WRAPPERS.get(name)
    if options is None:
        return None
    at = _after_options(options, rest)
    if at is None or (options.needed and options.needed not in rest[:at]):
        return None
    at += options.operands
    while options.assignments and at < len(rest) and "=" in (rest[at] or ""):
        at += 1
    # The name of a program does not begin with a dash: this is an option that is not known here, as in "flock FILE -c".
    inner = rest[at] if at < len(rest) else None
    return WrappedStart(arguments=rest[at:]) if inner and not inner.startswith("-") else None


def _after_options(options: _Options, arguments: Arguments) -> int | None:
    """Return the position after the options; None if an option is unknown."""
    at = 0
    while at < len(arguments):
        word = arguments[at]
        if word is None:
            return at
        if word == "--":
            return at + 1
        if not word.startswith("-") or (word == "-" and word not in options.words):
            return at
        at += 1
        if word.startswith("--"):
            if word in options.valued_words:
                at += 1
            elif word not in options.words and "=" not in word:
                return None
            continue
        for number, letter in enumerate(word[1:], 1):
            if letter in options.valued:
                at += number == len(word) - 1  # the value is the next argument
                break
            if letter not in options.flags:
                return None
    return at


def _shell(arguments: Arguments) -> WrappedStart | None:
    """Return the script that a shell runs; None if it is unknown or read from standard input."""
    at, is_text = 0, False
    while at < len(arguments):
        word = arguments[at]
        if word is None:
            return None
        if word in {"--", "-"}:
            at += 1
            break
        if word[:1] not in {"-", "+"}:
            break
        at += 1
        if word in {"--rcfile", "--init-file"}:
            at += 1
        elif not word.startswith("--"):
            at += "o" in word.lower()  # the name of an option follows, as in "-euo pipefail"
            is_text = is_text or ("c" in word and word[0] == "-")
            if "s" in word:
                return None
    if at >= len(arguments) or (first := arguments[at]) is None:
        return None
    if is_text:
        return WrappedStart(text=first, parameters=arguments[at + 2 :])
    return WrappedStart(file=first, parameters=arguments[at + 1 :])
