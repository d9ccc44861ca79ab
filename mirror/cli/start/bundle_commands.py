"""The commands of the group ``bundle``."""

from __future__ import annotations

from typing import Final

from mirror.cli.start.lazy_commands import LazyCommand

#: In the order of use, as help lists them.
BUNDLE_COMMANDS: Final = (
    LazyCommand(
        "keygen",
        "bundles.keys_command:keygen",
        "Make a pair of keys that signs bundles: F for the sender, F.pub for everybody.",
        "plugin-mirror bundle keygen site-key",
    ),
    LazyCommand(
        "keyset",
        "bundles.keys_command:keyset",
        "Make a set of keys, of which N must sign each bundle, or the next set after another one.",
        "plugin-mirror bundle keyset -o keys-2.json new.pub anna.pub --threshold 2 --after site-key.pub "
        "--key site-key --key new --key anna",
    ),
    LazyCommand(
        "trust",
        "bundles.trust_command:run",
        "Record a public key or key set in the data folder: bundles that it signed are accepted from now on.",
        "plugin-mirror bundle trust site-key.pub --data /srv/plugins",
    ),
    LazyCommand(
        "export",
        "bundles.export_command:run",
        "Write plugins and images of the store to one file, with their signatures.",
        "plugin-mirror bundle export -o site.tar --key site-key --rule contiv vieux/sshfs:latest --since 12",
    ),
    LazyCommand(
        "sign",
        "bundles.sign_command:run",
        "Add a signature to a bundle or a key set, in place.",
        "plugin-mirror bundle sign site.tar --key anna",
    ),
    LazyCommand(
        "split",
        "bundles.split_command:run",
        "Cut a bundle into parts F.part-001, F.part-002 … with a table F.parts.json.",
        "plugin-mirror bundle split site.tar -o /media/stick",
    ),
    LazyCommand(
        "join",
        "bundles.join_command:run",
        "Put the parts of a bundle together into one file.",
        "plugin-mirror bundle join /media/stick/site.tar.parts.json -o site.tar --parts /media/stick2",
    ),
    LazyCommand(
        "verify",
        "bundles.verify_command:run",
        "Check who has signed a bundle, and that every byte is as the statement says.",
        "plugin-mirror bundle verify /media/stick/site.tar --key site-key.pub",
    ),
    LazyCommand(
        "show",
        "bundles.show_command:run",
        "Show the contents of a bundle, and what it changes here.",
        "plugin-mirror bundle show /media/stick/site.tar --key site-key.pub",
    ),
    LazyCommand(
        "import",
        "bundles.import_command:run",
        "Bring the content of a bundle into the local store.",
        "plugin-mirror bundle import /media/stick/site.tar --key site-key.pub",
    ),
    LazyCommand(
        "receipt",
        "bundles.receipt_command:run",
        "Write a receipt: exactly what the store holds.",
        "plugin-mirror bundle receipt -o site.receipt",
    ),
    LazyCommand(
        "installer",
        "bundles.installer_command:run",
        "Write a program that installs plugins from a bundle on a host without a registry.",
        "plugin-mirror bundle installer -o /media/stick/install-plugin",
    ),
)
