"""The groups of commands."""

from __future__ import annotations

from typing import Final

from mirror.cli.start.bundle_commands import BUNDLE_COMMANDS
from mirror.cli.start.lazy_commands import LazyCommand, LazyGroup

#: In the order in which help lists them, and their commands in the order of use.
COMMAND_GROUPS: Final = (
    LazyGroup(
        "host",
        "Check a Docker host, and give it the plugins that it should have.",
        (
            LazyCommand(
                "check",
                "hosts.host_check_command:run",
                "Predict if a plugin can be installed, enabled and found on a Docker host.",
                "plugin-mirror host check mirror:5000/contiv/v2plugin:1.0 --alias contiv/v2plugin:1.0 "
                "--set plugin_name=contiv/v2plugin:1.0",
            ),
            LazyCommand(
                "apply",
                "hosts.host_apply_command:apply",
                "Give a Docker host the plugins of a file.",
                "plugin-mirror host apply /etc/docker/plugins.yaml --grant sha256:…",
            ),
            LazyCommand(
                "schema",
                "hosts.host_apply_command:schema",
                "Print the JSON Schema of the file for 'host apply', for editors.",
                "plugin-mirror host schema > host-plugins.schema.json",
            ),
        ),
    ),
    LazyGroup("bundle", "Carry plugins to places that no network reaches.", BUNDLE_COMMANDS),
    LazyGroup(
        "tls",
        "Make, renew and show certificates for TLS.",
        (
            LazyCommand(
                "init",
                "tls.tls_init_command:run",
                "Make a CA for this server alone, and a certificate for the server.",
                "plugin-mirror tls init --san mirror.example --san 10.1.2.3 --data /srv/plugins",
            ),
            LazyCommand(
                "host-setup",
                "tls.host_setup_command:run",
                "Print a shell script that makes the engines of a host trust this server.",
                "plugin-mirror tls host-setup mirror.example:5000 | ssh root@host-12 sh",
            ),
            LazyCommand(
                "show",
                "tls.tls_show_command:run",
                "Show the files of server.tls: names, issuers, and until when they are valid.",
                "plugin-mirror tls show --config /etc/plugin-mirror/config.yaml",
            ),
            LazyCommand(
                "renew",
                "tls.tls_renew_command:run",
                "Replace the certificate of the server by a new one from the local CA.",
                "plugin-mirror tls renew --config /etc/plugin-mirror/config.yaml",
            ),
            LazyCommand(
                "client",
                "tls.tls_client_command:client",
                "Make a certificate and a key for a client, such as a Docker host.",
                "plugin-mirror tls client host-12 --days 730 --data /srv/plugins",
            ),
            LazyCommand(
                "revoke",
                "tls.tls_client_command:revoke",
                "Revoke the certificate of a client. Running servers refuse it after seconds.",
                "plugin-mirror tls revoke host-12 --data /srv/plugins",
            ),
        ),
    ),
    LazyGroup(
        "admission",
        "List, approve and reject the plugins that the admission policy holds.",
        (
            LazyCommand(
                "ls",
                "service.admission_command:list_",
                "List held plugins, or those in another state, with age and reason.",
                "plugin-mirror admission ls --config config/admission.yaml",
            ),
            LazyCommand(
                "approve",
                "service.admission_command:approve",
                "Approve a plugin that is held, or that will be, so that it is served.",
                'plugin-mirror admission approve contiv/v2plugin@sha256:… --note "ticket 4711"',
            ),
            LazyCommand(
                "reject",
                "service.admission_command:reject",
                "Reject a plugin under every name, until it is approved with --overrule.",
                'plugin-mirror admission reject contiv/v2plugin:1.0 --note "wants the whole host"',
            ),
        ),
    ),
    LazyGroup(
        "audit",
        "Show who changed what, and verify that nothing of it was altered.",
        (
            LazyCommand(
                "show",
                "events.audit_command:show",
                "Show the entries of the audit, the oldest first.",
                "plugin-mirror audit show --since 7d --who anna --data /srv/plugins",
            ),
            LazyCommand(
                "verify",
                "events.audit_command:verify",
                "Verify that no entry was changed, removed, added or moved.",
                "plugin-mirror audit verify --key audit.pub --data /srv/plugins",
            ),
            LazyCommand(
                "key",
                "events.audit_command:key_",
                "Print the public key that verifies the checkpoints of the audit.",
                "plugin-mirror audit key --data /srv/plugins > audit.pub",
            ),
        ),
    ),
    LazyGroup(
        "events",
        "Show events that endpoints have not taken, and send dead letters again.",
        (
            LazyCommand(
                "ls",
                "events.events_command:list_",
                "List the endpoints with the number of events that wait, and of dead letters.",
                "plugin-mirror events ls --data /srv/plugins",
            ),
            LazyCommand(
                "resend",
                "events.events_command:resend",
                "Send dead letters again. The server sends them within a second.",
                "plugin-mirror events resend hooks.example --data /srv/plugins",
            ),
        ),
    ),
    LazyGroup(
        "pins",
        "List pins, which keep tags and manifests from being removed.",
        (
            LazyCommand(
                "ls",
                "storage.pin_command:list_",
                "List the pins of all repositories, or of one.",
                "plugin-mirror pins ls contiv/v2plugin",
            ),
        ),
    ),
    LazyGroup(
        "config",
        "Check and print the configuration.",
        (
            LazyCommand(
                "check",
                "service.config_command:check",
                "Check the configuration, or the rights that it gives a caller.",
                "plugin-mirror config check --as anna --can push acme/driver",
            ),
            LazyCommand(
                "show",
                "service.config_command:show",
                "Print the effective settings.",
                "PLUGIN_MIRROR_SERVER__WORKERS=2 plugin-mirror config show",
            ),
            LazyCommand(
                "schema",
                "service.config_command:print_schema",
                "Print the JSON Schema of the configuration file, for editors.",
                "plugin-mirror config schema > plugin-mirror.schema.json",
            ),
        ),
    ),
    LazyGroup(
        "user",
        "Add, list and remove users. Their rights are in the configuration, under access:.",
        (
            LazyCommand(
                "add",
                "service.user_command:add",
                "Add a user, who may log in from now on.",
                "plugin-mirror user add anna --data /srv/plugins",
            ),
            LazyCommand(
                "password",
                "service.user_command:password",
                "Change the password of a user.",
                "plugin-mirror user password anna --data /srv/plugins",
            ),
            LazyCommand(
                "import",
                "service.user_command:import_htpasswd",
                "Add the users of an htpasswd file, with their passwords.",
                "plugin-mirror user import /etc/apache2/htpasswd --data /srv/plugins",
            ),
            LazyCommand(
                "rm",
                "service.user_command:rm",
                "Remove a user and all access tokens of this user.",
                "plugin-mirror user rm anna --data /srv/plugins",
            ),
            LazyCommand("ls", "service.user_command:ls", "List users.", "plugin-mirror user ls --json"),
        ),
    ),
    LazyGroup(
        "token",
        "Create, list and revoke access tokens.",
        (
            LazyCommand(
                "create",
                "service.token_command:create",
                "Create an access token for a user and print its secret, once.",
                "plugin-mirror token create anna --description 'build server' --expires 90d",
            ),
            LazyCommand(
                "revoke",
                "service.token_command:revoke",
                "Revoke an access token. Running servers refuse it immediately.",
                "plugin-mirror token revoke 5f0c2a91",
            ),
            LazyCommand(
                "ls",
                "service.token_command:ls",
                "List access tokens, without their secrets, which are not stored.",
                "plugin-mirror token ls --json",
            ),
        ),
    ),
    LazyGroup(
        "quota",
        "Show how much of the quotas is used. They are in the configuration.",
        (
            LazyCommand(
                "ls",
                "storage.quota_command:ls",
                "List the quotas with what is used of them.",
                "plugin-mirror quota ls --config /etc/plugin-mirror.yaml",
            ),
        ),
    ),
)
