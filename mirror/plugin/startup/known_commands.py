"""Names of commands in start scripts that are not the plugin's own programs."""

from __future__ import annotations

from typing import Final

_BUILTIN_NAMES: Final = """
    . : [ [[ (( alias bg bind break builtin caller cd chdir command compgen complete continue declare dirs
    disown echo enable eval exec exit export false fc fg getopts hash help history jobs kill let local logout
    mapfile popd printf pushd pwd read readarray readonly return set shift shopt source suspend test times trap
    true type typeset ulimit umask unalias unset wait
"""
#: Commands of POSIX shells, busybox's ash and bash.
BUILTINS: Final = frozenset(_BUILTIN_NAMES.split())
_TOOL_NAMES: Final = """
    addgroup adduser arch arping ash awk basename bc blkid brctl bunzip2 busybox bzip2 cat chgrp chmod chown
    chpst chroot cksum clear cmp comm cp cpio crond crontab curl cut date dd df diff dirname dmesg du dumpkmap
    egrep env envsubst expr factor fallocate fdisk fgrep file find flock fold free fsck fuser getent getopt grep
    groups gunzip gzip halt head hexdump hostname httpd hwclock id ifconfig ifdown ifup inetd init inotifyd
    install ionice iostat ip ipcalc ipcrm ipcs ipneigh iprule iptables join jq kill killall killall5 klogd last
    ldconfig less link ln logger logname logread losetup ls lsmod lsof lspci lsusb makedevs md5sum mdev mkdir
    mkfifo mkfs mknod mkswap mktemp modinfo modprobe more mount mountpoint mv nc netstat nice nl nohup nproc
    nsenter nslookup ntpd od partprobe passwd paste patch pgrep pidof ping pivot_root pkill pmap poweroff
    printenv ps pstree pwd readlink realpath reboot renice reset rev rm rmdir route rtcwake run-parts runsv
    runsvdir sed seq setarch setconsole setpriv setsid sh sha1sum sha256sum sha3sum sha512sum shuf sleep sort
    split start-stop-daemon stat stdbuf strace strings stty su sum swapoff swapon switch_root sync sysctl
    syslogd tac tail tar taskset tee telnet telnetd tftp time timeout top touch tr traceroute tree truncate
    tsort tty udhcpc umount uname uniq unlink unshare unxz unzip uptime users usleep uudecode uuencode vconfig
    vi watch watchdog wc wget which who whoami xargs xxd xz yes zcat
"""
#: Programs of every small root filesystem, mostly applets of busybox. A shell may have them built in.
TOOLS: Final = frozenset(_TOOL_NAMES.split())
#: Words before a command, with the option of ``time``.
PREFIXES: Final = frozenset(["!", "time", "-p", "coproc"])
#: Commands whose result decides what follows. Other commands on the left of ``&&`` usually succeed.
TESTS: Final = frozenset(
    ["[", "[[", "((", "test", "grep", "egrep", "which", "command", "type", "hash", "pgrep", "false"]
)

# A test of one word is true if the word is not empty, also for the words "0" and "false".
_TRUE_TESTS: Final = (("[", "{}", "]"), ("[[", "{}", "]]"), ("test", "{}"))
_WORDS: Final = ("true", "false", "1", "0", '"true"', '"1"')
#: Words of the conditions that make a loop endless, by the word that begins the loop.
ENDLESS: Final = {
    "while": (
        ["true"],
        [":"],
        ["[", "1", "=", "1", "]"],
        ["[", "1", "-eq", "1", "]"],
        *([part.format(word) for part in parts] for parts in _TRUE_TESTS for word in _WORDS),
    ),
    "until": (["false"], ["[", "]"]),
}
