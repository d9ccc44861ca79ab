"""Table of findings about programs that wrappers and start scripts start, and about the commands of scripts.

Measured with dash, bash and tini on engines 20.10 and 26.1. A script is read and not run, so most of these findings are
guesses and say so. For a program without which nothing of the plugin runs, the table of root filesystems has the other
findings.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mirror.plugin.findings import rootfs_findings
from mirror.plugin.findings.finding import Severity
from mirror.plugin.findings.finding_kind import FindingKind, error, hint, warning

# A shell writes the cause to its standard error, which the daemon's log has unless the script redirects it.
_NO_SOCKET: Final = (
    "enabling fails after 13 s (23 s while the script runs): 'dial unix /run/docker/plugins/ID/...: connect: no such "
    "file or directory'; the cause is in the daemon's log, or in the file that the script writes its log to: '{}'"
)
_NOT_FOUND: Final = _NO_SOCKET.format(
    "not found', 'cannot execute: required file not found' or 'No such file or directory"
)
_GUESS: Final = "; this is a guess, because the script was read and not run"
_VALUE_GUESSED: Final = "; this is a guess, because only the program knows whether {flag} takes a value"


def _guess(kind: FindingKind, seen: str) -> FindingKind:
    """Return the kind for a program without which the plugin may still work."""
    return replace(kind, severity=Severity.WARNING, text=f"{kind.text}{_GUESS}", seen=seen)


STARTED_MISSING: Final = error(
    code="program-missing",
    text="the program {name} is not in the root filesystem",
    seen=_NO_SOCKET.format("not found' or 'No such file or directory"),
    fix="put the program into rootfs at this path, or fix the command; a link must lead to a file in rootfs",
)
STARTED_NOT_EXECUTABLE: Final = error(
    code="program-not-executable",
    text="the program {name} is not executable",
    seen=_NO_SOCKET.format("Permission denied"),
    fix="chmod +x the file in rootfs, and create the plugin again",
)
MISSING_GUESSED: Final = _guess(STARTED_MISSING, STARTED_MISSING.seen)
NOT_EXECUTABLE_GUESSED: Final = _guess(STARTED_NOT_EXECUTABLE, STARTED_NOT_EXECUTABLE.seen)
INTERPRETER_GUESSED: Final = _guess(rootfs_findings.INTERPRETER_MISSING, _NOT_FOUND)
INTERPRETER_CRLF_GUESSED: Final = _guess(rootfs_findings.INTERPRETER_CRLF, _NOT_FOUND)
LOADER_GUESSED: Final = _guess(rootfs_findings.LOADER_MISSING, _NOT_FOUND)
LIBRARIES_GUESSED: Final = _guess(
    rootfs_findings.LIBRARIES_MISSING, _NO_SOCKET.format("error while loading shared libraries")
)
# Init programs and shells that cannot execute a file take it for a shell script, and fail in one of several ways.
_FOREIGN: Final = _NO_SOCKET.format("Exec format error', 'No such file or directory', 'not found' or 'Syntax error")
STARTED_PLATFORM: Final = replace(rootfs_findings.PLATFORM_WRONG, seen=_FOREIGN)
PLATFORM_GUESSED: Final = _guess(STARTED_PLATFORM, _FOREIGN)
PLATFORMS_MIXED: Final = warning(
    code="platforms-mixed",
    text="{name} is a program for {platform}, but the entrypoint {entrypoint} is one for {other}",
    seen=_FOREIGN,
    fix="build all programs for one platform; only a host with an emulator runs both",
)
CONDITIONAL_FAULT: Final = hint(
    code="script-condition",
    text="{fault}; the script starts it only under a condition, which was not evaluated",
    seen="if the condition is met, the script fails there, and enabling may fail: 'dial unix ...: connect: no such "
    "file or directory'",
    fix="put what is missing into rootfs, or remove the command from the script",
    own_words=frozenset({"fault"}),
)
SETTING_DEMANDED: Final = warning(
    code="setting-demanded",
    text=f"{{script}}, line {{line}}: the script ends if {{setting}} is empty, as it is by default{_GUESS}",
    seen=_NO_SOCKET.format("parameter not set or null', 'parameter null or not set', or the script's own message"),
    fix="install it with {setting}=VALUE if the setting is settable, or write a default into the config",
)
FLAG_SWALLOWED: Final = warning(
    code="flag-swallowed",
    text="{script}, line {line}: the value of {flag} is the setting {setting}, which is empty by default and not "
    "quoted, so {flag} takes {following} for its value",
    seen="nothing at enabling; the program ignores the flags from there on, or fails. Go's flag parser stops at the "
    "next word without a dash, and the program uses its own defaults" + _VALUE_GUESSED,
    fix="set {setting}=VALUE at the install if the setting is settable, or write {flag}=${variable} in the "
    "script, or pass {flag} only if the setting has a value",
)
FLAG_WITHOUT_VALUE: Final = replace(
    FLAG_SWALLOWED,
    text="{script}, line {line}: the value of {flag} is the setting {setting}, which is empty by default and not "
    "quoted, so {flag} has no value",
    seen="the program fails: 'flag needs an argument'" + _VALUE_GUESSED,
)
