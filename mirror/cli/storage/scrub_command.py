"""``plugin-mirror scrub``: read everything in the store, and heal what is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.byte_bar import ByteBar
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, counted, print_json, size, wrapped

if TYPE_CHECKING:
    from mirror.app.storage.integrity.scrubbing import ScrubResult
    from mirror.lifecycle.healing import HealingResult
    from mirror.store.bucket.bucket_comparison import BucketComparison

_TAGS_SHOWN = 10


def run(
    *,
    config: ConfigOption = None,
    data: DataOption = None,
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="RATE", help="Read at most this much in a second, such as 50MB/s.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--from", metavar="BUNDLE", help="Heal from this bundle first, then from upstreams.")
    ] = None,
    bucket: Annotated[
        bool, typer.Option("--bucket", help="List the bucket first, and name objects that nothing knows.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Read every byte in the store, and heal what is damaged.

    Damaged content is set aside and never served. It is fetched again from
    where it came from, or from the bundle, and verified byte for byte. The
    command may run beside a server. If it is interrupted, run it again within
    a day to continue.

    Exit code 1: something was damaged, even if it is healed now.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.storage.integrity import scrubbing
    from mirror.settings.storage.scrub_settings import parse_rate

    settings = settings_of(config, data)
    bytes_per_second = None if rate is None else parse_rate(rate)
    with ByteBar(MESSAGES, "scrub") as bar:
        result = run_to_the_end(
            scrubbing.scrub(
                settings, bytes_per_second=bytes_per_second, bundle=bundle, progress=bar, lists_bucket=bucket
            )
        )
    if json:
        print_json(_as_json(result))
    else:
        _print(result)
    is_wrong = result.bucket is not None and (result.bucket.strays or result.bucket.wrong)
    found = result.healing or result.state.damaged or is_wrong
    raise typer.Exit(exit_codes.ANSWER_IS_NO if found else exit_codes.DONE)


def _print(result: ScrubResult) -> None:
    state = result.state
    if result.went_on_after_bytes:
        MESSAGES.out(f"went on after {size(result.went_on_after_bytes)} of an interrupted run", highlight=False)
    healed = sum(1 for each in result.healing if each.source)
    left = len(result.healing) - healed
    told = f"{healed} healed, {left} still damaged" if result.healing else "nothing is damaged"
    RESULTS.out(f"{counted(state.files, 'file')} read, {size(state.read_bytes)}; {told}", highlight=False)
    if state.corrected:
        RESULTS.out(f"wrong entries of {counted(state.corrected, 'file')} corrected in the catalog", highlight=False)
    for each in result.healing:
        _print_one(each)
    if result.bucket is not None:
        _print_bucket(result.bucket)


def _print_bucket(found: BucketComparison) -> None:
    RESULTS.out(f"{counted(found.objects, 'object')} in the bucket, {size(found.size_bytes)}", highlight=False)
    for stored, problem in found.wrong:
        RESULTS.out(f"{stored.digest}\n  {problem}", highlight=False)
    for stray in found.strays:
        told = f"no row of the catalog knows this object, {size(stray.size_bytes)}"
        RESULTS.out(f"{stray.key}\n  {told}; fix: delete it, if no copy of the catalog names it", highlight=False)


def _print_one(each: HealingResult) -> None:
    RESULTS.out(str(each.damaged.digest), highlight=False)
    if each.source:
        RESULTS.out(f"  healed from {each.source}", highlight=False)
        return
    more = len(each.use.tags) - _TAGS_SHOWN
    others = f" and {more} more" if more > 0 else ""
    for line in (
        f"damaged: {each.damaged.problem}",
        f"not healed: {each.error}",
        f"breaks {', '.join(each.use.tags[:_TAGS_SHOWN])}{others}" if each.use.tags else "no tag needs it",
        "fix: push it again, or run 'plugin-mirror scrub --from BUNDLE' with a bundle that has it",
    ):
        RESULTS.out(wrapped(RESULTS, f"  {line}", 4), highlight=False)


def _as_json(result: ScrubResult) -> dict[str, Any]:
    state = result.state
    return {
        "files": state.files,
        "read_bytes": state.read_bytes,
        "went_on_after_bytes": result.went_on_after_bytes,
        "corrected": state.corrected,
        "damaged": [
            {
                "digest": str(each.damaged.digest),
                "size_bytes": each.damaged.size_bytes,
                "problem": each.damaged.problem,
                "healed_from": each.source or None,
                "error": each.error or None,
                "repositories": [str(repository) for repository in each.use.repositories],
                "tags": list(each.use.tags),
            }
            for each in result.healing
        ],
        **({} if result.bucket is None else {"bucket": _bucket_as_json(result.bucket)}),
    }


def _bucket_as_json(found: BucketComparison) -> dict[str, Any]:
    return {
        "objects": found.objects,
        "size_bytes": found.size_bytes,
        "strays": [{"key": stray.key, "size_bytes": stray.size_bytes} for stray in found.strays],
        "wrong": [{"digest": str(stored.digest), "problem": problem} for stored, problem in found.wrong],
    }
