"""The specification of the format shows the documents that are written."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mirror.bundle.delta.receipt import Receipt
from mirror.bundle.format import bundle_head, statement
from mirror.bundle.format.bounded_json import MOST_VALUES
from mirror.bundle.format.bundle_index import MOST_INDEX_BYTES
from mirror.bundle.format.envelope import MOST_ENVELOPE_BYTES, MOST_SIGNATURES, Envelope
from mirror.bundle.format.member import INDEX, STATEMENT
from mirror.bundle.format.statement import MOST_MEMBERS, Since
from mirror.bundle.parts.parts_table import MOST_PARTS, PART_BYTES, Part, PartsTable
from mirror.bundle.report.content_facts import ContentFacts
from mirror.bundle.report.plugin_report import write_report
from mirror.bundle.trust import key_set
from mirror.bundle.trust.key_set import MOST_KEY_SET_BYTES, MOST_KEY_SETS, KeySet
from mirror.bundle.trust.signing_keys import VerifyingKey
from mirror.oci import Digest
from mirror.records.absent_content import AbsenceReason, AbsentContent
from mirror.records.derivations import Derivation
from tests.support.bundles import KEY, build, small_plugin

PAGE = Path(__file__).parents[3] / "docs/BUNDLES.md"
DIGEST = Digest.of(b"some content")


def written() -> dict[str, bytes]:
    """Return each document as this version writes it, by the section of the page."""
    manifest, blobs = small_plugin()
    bundle = build({"contiv/v2plugin:1.0": manifest}, blobs, since=Since(receipt=DIGEST))
    contents = {
        placed.member.path: bundle.content[placed.content_bytes : placed.content_bytes + placed.member.size_bytes]
        for placed in bundle.layout.members
    }
    keys = KeySet.of_keys([VerifyingKey(KEY.public_key().public_bytes_raw())], 1, resets={"site": 12})
    now = datetime.now(UTC)
    receipt = Receipt(now, frozenset({DIGEST}), {"acme/driver:1.0": DIGEST}, {"site": 7})
    return {
        "index.json": contents[INDEX],
        "The statement": bundle.envelope.payload,
        "The envelope": contents[STATEMENT],
        "Key sets": keys.envelope.payload,
        "The report": write_report({DIGEST: ContentFacts("plugin", 1)}),
        "Parts": PartsTable(DIGEST, 512, (Part("F.part-001", 0, 512, DIGEST),)).to_bytes(),
        "Receipts": receipt._document().partition(b"\n")[0],
    }


def shape(value: Any) -> Any:
    """Return the keys of a document, in order and at each level. Keys that are digests or names count as one."""
    if isinstance(value, dict):
        variable = all(re.search(r"[:/]|^(site|mirror-)", key) for key in value)
        return {"…": [shape(each) for each in value.values()]} if variable else {k: shape(v) for k, v in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value and isinstance(value[0], dict) else None


@pytest.mark.parametrize("section", ["index.json", "The statement", "The envelope", "Key sets", "The report", "Parts"])
def test_the_page_shows_the_keys_that_are_written_in_their_order(section: str):
    found = re.search(rf"(?ms)^##+ {re.escape(section)}$.*?^```json\n(.*?)^```", PAGE.read_text())
    assert found is not None
    shown, made = shape(json.loads(found[1])), shape(json.loads(written()[section]))
    assert json.dumps(shown) == json.dumps(made)


def test_the_page_shows_the_line_of_a_receipt():
    found = re.search(r"(?ms)^## Receipts$.*?^```json\n(.*?)^```", PAGE.read_text())
    assert found is not None
    assert list(json.loads(found[1])) == list(json.loads(written()["Receipts"]))


@pytest.mark.parametrize(
    "limit",
    [
        f"the [names](#indexjson); at most {MOST_INDEX_BYTES >> 20} MiB",
        f"with the statement; at most {MOST_ENVELOPE_BYTES >> 20} MiB",
        f"at most {MOST_MEMBERS:_} members",
        f"documents have at most {bundle_head._MOST_DOCUMENTS_BYTES >> 20} MiB together",
        f"the statement has at most {statement._MOST_STATEMENT_BYTES >> 20} MiB",
        f"at most {MOST_KEY_SETS} key sets of at most {MOST_KEY_SET_BYTES >> 10} KiB each",
        f"more than {MOST_VALUES:_} values",
        f"at most {MOST_SIGNATURES} signatures, and plugin-mirror tries at most {key_set._MOST_WITHOUT_ID} of those",
        f"each once; 1 to {key_set._MOST_KEYS}",
        f"{PART_BYTES >> 20} MiB by default",
        f"at most {MOST_PARTS:_} parts",
    ],
)
def test_the_page_has_the_limits_of_the_code(limit: str):
    assert limit.replace("_", " ") in " ".join(PAGE.read_text().split())


def test_the_page_has_the_room_for_signatures():
    empty = Envelope("a", b"")
    room = empty.padded_size_bytes - len(empty.to_bytes())
    assert f"a new envelope has {room} bytes of room" in " ".join(PAGE.read_text().split())


@pytest.mark.parametrize(
    ("note", "value"),
    [
        ("derivations", Derivation("hub/a/b", DIGEST, "anna", datetime(2026, 1, 2, tzinfo=UTC), {}, ()).to_json()),
        ("absent", {"repository": "a/b"} | AbsentContent(DIGEST, DIGEST, AbsenceReason.PLATFORM).to_json()),
    ],
)
def test_the_page_has_the_keys_of_notes(note: str, value: dict[str, Any]):
    (row,) = (line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{note}` |"))
    assert re.findall(r"`(\w+)`", row)[1:] == list(value)
