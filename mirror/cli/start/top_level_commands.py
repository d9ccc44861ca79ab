"""The commands without a group."""

from __future__ import annotations

from typing import Final

from mirror.cli.start.lazy_commands import LazyCommand

#: In the order in which help lists them.
TOP_LEVEL_COMMANDS: Final = (
    LazyCommand(
        "serve",
        "service.serve_command:run",
        "Run the registry until SIGTERM or SIGINT stops it.",
        "plugin-mirror serve --listen 127.0.0.1:5001 --data /srv/plugins",
    ),
    LazyCommand(
        "sync",
        "service.sync_command:run",
        "Copy the tags that the mirror rules select from their upstreams.",
        "plugin-mirror sync contiv --config config/contiv-offline.yaml",
    ),
    LazyCommand(
        "status",
        "service.status_command:run",
        "Show last run, result, next run and latest tag changes of each mirror rule.",
        "plugin-mirror status --config config/contiv-offline.yaml",
    ),
    LazyCommand(
        "reload",
        "service.reload_command:run",
        "Let the server on the data folder read its configuration again.",
        "plugin-mirror reload --data /srv/plugins",
    ),
    LazyCommand(
        "health",
        "service.health_command:run",
        "Ask the server on this machine whether it is alive, or ready.",
        "plugin-mirror health --ready --config /etc/plugin-mirror/config.yaml",
    ),
    LazyCommand(
        "doctor",
        "hosts.doctor_command:run",
        "Find out why a Docker host cannot install from a registry. Run it on that host.",
        "plugin-mirror doctor mirror:5000/contiv/v2plugin:1.0",
    ),
    LazyCommand(
        "ls",
        "plugins.ls_command:run",
        "List repositories, or the tags of one with kind, digest and size.",
        "plugin-mirror ls contiv/v2plugin",
    ),
    LazyCommand(
        "inspect",
        "plugins.inspect_command:run",
        "Show a plugin: platform, privileges, settings, engines, and the command that installs it on a Docker host.",
        "plugin-mirror inspect contiv/v2plugin:1.0.0-beta.3",
    ),
    LazyCommand(
        "tag",
        "plugins.tag_command:run",
        "Give content another name: the same digest, and no bytes are copied.",
        "plugin-mirror tag contiv/v2plugin:1.0.0-beta.3 site/network:stable",
    ),
    LazyCommand(
        "sign",
        "plugins.plugin_sign_command:run",
        "Sign content, and store the signature beside it.",
        "plugin-mirror sign contiv/v2plugin:1.0.0-beta.3 --key site.key --data /srv/plugins",
    ),
    LazyCommand(
        "verify",
        "plugins.plugin_verify_command:run",
        "Verify the signatures of content: those of cosign with keys, and those of 'sign'.",
        "plugin-mirror verify contiv/v2plugin:1.0.0-beta.3 --key contiv.pub --data /srv/plugins",
    ),
    LazyCommand(
        "derive",
        "plugins.derive_command:run",
        "Copy a plugin under a new name, with other defaults and the same layers.",
        "plugin-mirror derive contiv/v2plugin:1.0.0-beta.3 site/network:1.0 "
        "--env plugin_name=site/network:1.0 --env cluster_store=etcd://10.0.0.5:2379",
    ),
    LazyCommand(
        "lint",
        "plugins.lint_command:run",
        "Find the reasons why a plugin cannot be enabled, on any host or on some.",
        "plugin-mirror lint ./my-plugin --platform linux/arm64",
    ),
    LazyCommand(
        "diff",
        "plugins.diff_command:run",
        "Show the differences between two plugins.",
        "plugin-mirror diff contiv/v2plugin:1.0.0-beta.3 contiv/v2plugin:1.0.0",
    ),
    LazyCommand(
        "pack",
        "plugins.pack_command:run",
        "Build a plugin from a folder or an image, without an engine.",
        "plugin-mirror pack ./v2plugin -t contiv/v2plugin:1.0 --set PluginName=contiv/v2plugin:1.0",
    ),
    LazyCommand(
        "unpack",
        "plugins.unpack_command:run",
        "Write a plugin as a folder for 'docker plugin create'.",
        "plugin-mirror unpack contiv/v2plugin:1.0 ./v2plugin",
    ),
    LazyCommand(
        "capture",
        "plugins.capture_command:run",
        "Copy an installed plugin out of a Docker Engine, under a new name.",
        "plugin-mirror capture store/contiv/v2plugin:1.0 -t contiv/v2plugin:1.0",
    ),
    LazyCommand(
        "fetch",
        "bundles.fetch_command:run",
        "Fetch plugins from other registries into a bundle, without a server or a store.",
        "plugin-mirror fetch -o site.tar --key site-key vieux/sshfs:latest ghcr.io/acme/driver:2.1",
    ),
    LazyCommand(
        "gc",
        "storage.gc_command:run",
        "Drop tags that no retention keeps, and remove content that nothing needs.",
        "plugin-mirror gc --dry-run --data /srv/plugins",
    ),
    LazyCommand(
        "backup",
        "storage.backup_command:run",
        "Back up the store to a folder or a tar, beside a running server.",
        "plugin-mirror backup /mnt/backup/plugins --data /srv/plugins",
    ),
    LazyCommand(
        "restore",
        "storage.restore_command:run",
        "Restore a backup into an absent or empty data folder.",
        "plugin-mirror restore /mnt/backup/plugins --data /srv/plugins",
    ),
    LazyCommand(
        "migrate",
        "storage.migrate_command:run",
        "Move the catalog to the database of another configuration.",
        "plugin-mirror migrate --to-config /etc/plugin-mirror/postgresql.yaml",
    ),
    LazyCommand(
        "recover",
        "storage.recover_command:run",
        "Rebuild a lost or damaged catalog. Stop the server first.",
        "plugin-mirror recover --data /srv/plugins",
    ),
    LazyCommand(
        "pin",
        "storage.pin_command:pin",
        "Keep a tag or a manifest until it is unpinned.",
        'plugin-mirror pin contiv/v2plugin:1.0 --note "the last one for engine 1.13"',
    ),
    LazyCommand(
        "unpin",
        "storage.pin_command:unpin",
        "Remove the pin of a tag or a manifest. Exit code 1: there is no such pin.",
        "plugin-mirror unpin contiv/v2plugin:1.0",
    ),
    LazyCommand(
        "stats",
        "storage.stats_command:run",
        "Show what the store holds, what it saves, and what its upkeep does.",
        "plugin-mirror stats --data /srv/plugins",
    ),
    LazyCommand(
        "scrub",
        "storage.scrub_command:run",
        "Read every byte in the store, and heal what is damaged.",
        "plugin-mirror scrub --rate 50MB/s --data /srv/plugins",
    ),
    LazyCommand(
        "rm",
        "storage.rm_command:run",
        "Delete tags, content by its digest, or whole repositories.",
        "plugin-mirror rm contiv/v2plugin:1.0.0-beta.3 --data /srv/plugins",
    ),
)
