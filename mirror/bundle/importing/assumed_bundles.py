"""Earlier bundles that a delta assumes to be here. Pure."""

from __future__ import annotations

from mirror.bundle.bundle_errors import BundleIncomplete
from mirror.bundle.format.statement import Statement
from mirror.records.bundle_trust import StreamState


def require_assumed_bundles(
    statement: Statement, known: StreamState | None, *, allow_rollback: int | None = None
) -> None:
    """Check that the bundles were imported up to the serial against which a delta was made.

    A delta leaves out the names that those bundles brought. Without one of them, a tag would stay where it was, and no
    content would be missing that tells of it.

    Args:
        statement: the statement of the bundle.
        known: state of its stream; None if no bundle of the stream was imported.
        allow_rollback: serial of a bundle that the operator accepts in spite of the state of the stream.

    Raises:
        BundleIncomplete: a bundle that the delta assumes was not imported.
    """
    assumed = None if statement.since is None else statement.since.serial
    last = 0 if known is None else known.serial
    if assumed is None or assumed <= last or allow_rollback == statement.serial:
        return
    here = f"the last one imported here is bundle {last}" if last else "none of them was imported here"
    instead = f"--since {last}" if last else "no --since"
    raise BundleIncomplete(
        f"bundle {statement.serial} of stream {statement.stream} leaves out what the bundles up to {assumed} brought, "
        f"and {here}: tags would stay at old content; nothing was changed; fix: import the bundles up to {assumed} "
        f"first, or have one made with {instead}; accept this one as it is with --allow-rollback {statement.serial}",
        stream=statement.stream,
        serial=statement.serial,
        assumed=assumed,
    )


def first_delta_warnings(statement: Statement, known: StreamState | None) -> tuple[str, ...]:
    """Return a warning about a delta against a receipt that is the first bundle of its stream here."""
    if known is not None or statement.since is None or statement.since.receipt is None:
        return ()
    return (
        f"this is the first bundle of stream {statement.stream} here, and it leaves out what the receipt "
        f"{statement.since.receipt} lists; fix: if another store wrote that receipt, have a full bundle made",
    )
