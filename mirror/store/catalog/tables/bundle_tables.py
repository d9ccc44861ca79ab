"""Tables of bundles: exports, the state of each imported stream, trusted key sets, and notes that came with bundles."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String

from mirror.store.catalog.tables.schema import UtcDateTime, keyed_table

#: Bundles that this store has exported. ``statement`` is the digest of the statement; ``head`` has all bytes before the
#: first blob, compressed, so that a part can be made again.
bundle_exports = keyed_table(
    "bundle_exports",
    Column("stream", String(128), primary_key=True),
    Column("serial", BigInteger, primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("statement", String(140), nullable=False),
    Column("head", LargeBinary, nullable=False),
)

#: The last imported bundle of each stream. ``created_at`` is the latest time of creation ever seen in the stream.
#: ``statement`` is NULL after a key set has reset the stream. ``root`` names the trusted key sets of the stream; NULL
#: for a stream of unsigned bundles.
bundle_streams = keyed_table(
    "bundle_streams",
    Column("stream", String(128), primary_key=True),
    Column("serial", BigInteger, nullable=False),
    Column("statement", String(140)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("imported_at", UtcDateTime, nullable=False),
    Column("root", String(140)),
)

#: Trusted key sets. ``root`` is the digest of the first key set in the chain, ``envelope`` the key set with signatures.
bundle_key_sets = keyed_table(
    "bundle_key_sets",
    Column("root", String(140), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("envelope", LargeBinary, nullable=False),
    Column("trusted_at", UtcDateTime, nullable=False),
)

#: Times at which the sender of a bundle first held a manifest. The first note of a manifest is kept.
bundle_notes = keyed_table(
    "bundle_notes",
    Column("digest", String(140), primary_key=True),
    Column("stream", String(128), nullable=False),
    Column("first_seen_at", UtcDateTime, nullable=False),
)
