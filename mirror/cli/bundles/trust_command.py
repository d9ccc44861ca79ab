"""``plugin-mirror bundle trust``: record, list and remove the keys whose bundles are accepted."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import ALERTS, MESSAGES, RESULTS, print_json, print_list
from mirror.cli.questions import confirmed
from mirror.oci.errors import ConfigurationFault
from mirror.oci.timestamps import machine_time, time_ago
from mirror.runtime.clock import SystemClock

if TYPE_CHECKING:
    from mirror.bundle.trust.key_set import KeySet
    from mirror.bundle.trust.trust_step import RecordedChain, TrustStep
    from mirror.records.bundle_trust import StreamState
    from mirror.settings import Settings

#: Digits of a fingerprint that suffice to remove a chain.
_LEAST_DIGITS = 8


def run(
    path: Annotated[
        Path | None, typer.Argument(metavar="F.pub|SET.json", help="The public key or key set of the sender.")
    ] = None,
    *,
    fingerprint: Annotated[
        str | None,
        typer.Option("--fingerprint", metavar="HEX", help="Trust the file only if this is its fingerprint."),
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="List trusted keys, and the streams they signed.")] = False,
    remove: Annotated[
        str | None, typer.Option("--remove", metavar="HEX", help="Trust these keys no longer. HEX: see --list.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Record a public key or key set in the data folder: bundles that it signed are accepted from now on.

    On a terminal, the command shows the fingerprint and asks you to confirm.
    Compare it with the one that the sender tells you in another way. Without a
    terminal it asks nothing. A key set that follows a trusted one needs no
    answer: the former keys have signed it.
    """
    if [path is not None, list_all, remove is not None].count(True) != 1:
        raise ConfigurationFault("nothing or too much is named; fix: name a file with keys, or give --list or --remove")
    settings = settings_of(config, data)
    if path is not None:
        _trust(settings, path, fingerprint, json=json)
    elif remove is not None:
        _remove(settings, remove)
    else:
        _list(settings, json=json)


def _trust(settings: Settings, path: Path, fingerprint: str | None, *, json: bool) -> None:
    from mirror.app.bundles.bundle_trusting import judge_file, record_step
    from mirror.bundle.trust.trust_step import TrustStep

    signed, step, record = run_to_the_end(judge_file(settings, path))
    expected = signed.key_set.fingerprint
    if fingerprint is not None and fingerprint.lower().removeprefix("sha256:").replace(":", "") != expected:
        ALERTS.out(f"{path} has another fingerprint: {expected}; nothing is recorded", highlight=False)
        raise typer.Exit(exit_codes.ANSWER_IS_NO)
    # Asked between two uses of the data folder, which must not wait for a person.
    asks = step is TrustStep.FIRST and fingerprint is None and sys.stdin.isatty()
    if asks or not json:
        _describe(signed.key_set)
    signers = "this key signs" if signed.key_set.is_single_key else "these keys sign"
    if asks and not confirmed(f"Accept bundles that {signers}?"):
        MESSAGES.out("nothing is recorded", highlight=False)
        raise typer.Exit(exit_codes.ANSWER_IS_NO)
    if step in {TrustStep.FIRST, TrustStep.NEXT}:
        run_to_the_end(record_step(settings, step, record))
    if json:
        print_json({"step": step.value, "root": str(record.root), **_as_json(signed.key_set)})
    else:
        _tell_step(path, step)
    if step is TrustStep.REPLACED:
        raise typer.Exit(exit_codes.ANSWER_IS_NO)


def _tell_step(path: Path, step: TrustStep) -> None:
    from mirror.bundle.trust.trust_step import TrustStep

    text = {
        TrustStep.KNOWN: "is trusted already",
        TrustStep.REPLACED: "was replaced by a newer key set; 'plugin-mirror bundle trust --list' shows it",
        TrustStep.FIRST: "is trusted from now on",
        TrustStep.NEXT: "follows the trusted key set, and replaces it from now on",
    }[step]
    RESULTS.out(f"{path} {text}", highlight=False)


def _remove(settings: Settings, text: str) -> None:
    from mirror.app.bundles.bundle_trusting import remove_chain

    wanted = text.lower().removeprefix("sha256:")
    if len(wanted) < _LEAST_DIGITS:
        raise ConfigurationFault(
            f"--remove {text} is too short; fix: give at least {_LEAST_DIGITS} digits of what --list shows"
        )
    removed = run_to_the_end(remove_chain(settings, wanted))
    RESULTS.out(f"the keys of {removed.newest.fingerprint} are trusted no longer", highlight=False)


def _list(settings: Settings, *, json: bool) -> None:
    from mirror.app.bundles.bundle_trusting import read_trust

    chains, streams = run_to_the_end(read_trust(settings))
    rows = [
        {
            "root": str(chain.root),
            **_as_json(chain.newest),
            "trusted_at": machine_time(chain.records[0].trusted_at),
            "streams": [_stream_as_json(state) for state in streams if state.root == chain.root],
        }
        for chain in chains
    ]
    nothing = "no keys are trusted; fix: 'plugin-mirror bundle trust F.pub' with the public key of the sender"
    print_list(rows, lambda _: _print(chains, streams), nothing, as_json=json)


def _print(chains: Sequence[RecordedChain], streams: Sequence[StreamState]) -> None:
    # Lines instead of a table: people compare fingerprints, so none may be broken or cut.
    now = SystemClock().now()
    for chain in chains:
        key_set, trusted = chain.newest, time_ago(chain.records[0].trusted_at, now)
        needs = key_set.demand
        RESULTS.out(key_set.fingerprint, highlight=False)
        RESULTS.out(f"  key set {key_set.version}, {needs}, trusted {trusted}", highlight=False)
        if not key_set.is_single_key:
            for key in key_set.keys:
                RESULTS.out(f"  key {key.key_id}", highlight=False)
        for state in streams:
            if state.root == chain.root:
                imported = time_ago(state.imported_at, now)
                RESULTS.out(f"  stream {state.stream}: bundle {state.serial}, imported {imported}", highlight=False)


def _describe(key_set: KeySet) -> None:
    if key_set.is_single_key:
        ALERTS.out(f"public key with the fingerprint {key_set.keys[0].key_id}", highlight=False)
        return
    needs = key_set.demand
    ALERTS.out(f"key set {key_set.version} with the fingerprint {key_set.digest.hex}: {needs}", highlight=False)
    for key in key_set.keys:
        ALERTS.out(f"  key {key.key_id}", highlight=False)
    for stream, serial in key_set.resets.items():
        ALERTS.out(f"  stream {stream} goes on after bundle {serial}", highlight=False)


def _as_json(key_set: KeySet) -> dict[str, Any]:
    return {
        "fingerprint": key_set.fingerprint,
        "version": key_set.version,
        "threshold": key_set.threshold,
        "keys": list(key_set.key_ids),
    }


def _stream_as_json(state: StreamState) -> dict[str, Any]:
    return {
        "stream": state.stream,
        "serial": state.serial,
        "created_at": machine_time(state.created_at),
        "imported_at": machine_time(state.imported_at),
    }
