"""``plugin-mirror health``: ask the server of this machine whether it is well."""

from __future__ import annotations

import http.client
import json as jsons
import ssl
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mirror.cli import exit_codes
from mirror.cli.options import ConfigOption, DataOption, JsonOption, flags, settings_with
from mirror.cli.printing import ALERTS, MESSAGES, RESULTS, print_json
from mirror.oci.errors import ConfigurationFault, StorageFault
from mirror.runtime.system_errors import connection_words

if TYPE_CHECKING:
    from mirror.settings.server.listen_address import HostPort

#: Addresses that mean all addresses of a machine, and the one to which a program on it connects.
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not listened on
_MOST_BYTES: Final = 64 * 1024
_FIX: Final = "fix: start the server, look into its log, or name its address with --listen"


def run(
    config: ConfigOption = None,
    data: DataOption = None,
    listen: Annotated[
        str | None,
        typer.Option("--listen", "-l", metavar="HOST:PORT", help="Address to ask. Overrides server.listen."),
    ] = None,
    *,
    ready: Annotated[bool, typer.Option("--ready", help="Ask whether content can be read.")] = False,
    writes: Annotated[bool, typer.Option("--writes", help="With --ready: ask whether it can be written too.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Longest time to wait, in seconds.")] = 8.0,
    json: JsonOption = False,
) -> None:
    """Ask the server on this machine whether it is alive, or ready.

    The server is found by its data folder: --data, or storage.path of --config.
    If none runs there, the address is server.listen of the configuration, with
    TLS if server.tls is set. With --data, a configuration that is wrong by now
    does not matter to a server that runs.

    Without --ready, the server only has to answer: use this where a failure
    restarts it. With --ready, it must be able to serve content. A full disk does
    not prevent that, so it fails only with --writes.

    Exit code 0: yes. Exit code 1: no, or no answer.
    """
    if writes and not ready:
        raise ConfigurationFault("--writes is about readiness; fix: write --ready --writes")
    address, has_tls = _address(config, data, listen)
    path = "/healthz" if not ready else "/readyz?for=writes" if writes else "/readyz"
    url = f"{'https' if has_tls else 'http'}://{address}{path}"
    try:
        status, body = _ask(address, path, timeout, has_tls=has_tls)
    except (OSError, http.client.HTTPException) as error:
        reason = connection_words(error) if isinstance(error, OSError) else "the answer is not HTTP"
        if json:
            print_json({"url": url, "http_status": None, "error": reason})
        ALERTS.out(f"error: {url}: {reason}; {_FIX}", highlight=False)
        raise typer.Exit(exit_codes.ANSWER_IS_NO) from error
    if json:
        print_json({"url": url, "http_status": status, **body})
    failed = {name: outcome for name, outcome in body.get("checks", {}).items() if outcome != "ok"}
    for name, outcome in failed.items():
        if status == 200:
            MESSAGES.out(f"warning: {name}: {outcome}", highlight=False)
        else:
            ALERTS.out(f"error: {name}: {outcome}", highlight=False)
    if status != 200:
        if not failed:
            ALERTS.out(f"error: {url}: status {status}; {_FIX}", highlight=False)
        raise typer.Exit(exit_codes.ANSWER_IS_NO)
    if not json:
        RESULTS.out("ok" if not failed else "ok for reads, not for writes", highlight=False)


def _address(config: Path | None, data: Path | None, listen: str | None) -> tuple[HostPort, bool]:
    """Return the address to ask, and True if it speaks TLS.

    Raises:
        ConfigurationFault: no server runs on the data folder, and the configuration is invalid or has port 0.
    """
    found = None if data is None or listen is not None else _recorded_address(data)
    if found is None:
        settings = settings_with(config, flags(server__listen=listen, storage__path=data))
        if listen is None:
            found = _recorded_address(settings.storage.path)
        if found is None:
            found = settings.server.listen, settings.server.tls is not None
        if not found[0].port:
            raise ConfigurationFault(
                f"server.listen has port 0, and no server runs on the data folder {settings.storage.path}; "
                "fix: name the address with --listen"
            )
    address, has_tls = found
    return replace(address, host=_EVERYWHERE.get(address.host, address.host)), has_tls


def _recorded_address(root: Path) -> tuple[HostPort, bool] | None:
    """Return the address of a server that runs on a data folder, and True if it speaks TLS; None if none is known."""
    from mirror.app.configuration.server_record import pid_namespace, running_servers
    from mirror.settings.server.listen_address import HostPort

    try:
        # Addresses of servers in other containers have a meaning there only.
        servers = [each for each in running_servers(root).values() if each.pid_namespace == pid_namespace()]
    except StorageFault:  # the folder of another user; the configuration has the address too
        return None
    return (HostPort.parse(servers[0].addresses[0]), servers[0].has_tls) if servers else None


def _ask(address: HostPort, path: str, timeout_seconds: float, *, has_tls: bool) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of an answer. Raises OSError and HTTPException."""
    if has_tls:
        # The certificate has the names of the server for its clients. Nothing is sent that another server may not see.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            address.host, address.port, timeout=timeout_seconds, context=context
        )
    else:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=timeout_seconds)
    with closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        try:
            body = jsons.loads(answer.read(_MOST_BYTES))
        except ValueError:
            body = {}
        return answer.status, body if isinstance(body, dict) else {}
