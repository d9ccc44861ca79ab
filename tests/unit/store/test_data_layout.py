from pathlib import Path
from uuid import UUID

import pytest

from mirror.oci import Digest
from mirror.store.content.data_layout import DataLayout, is_ours, is_upload_id

LAYOUT = DataLayout(Path("/data"))
HEX = Digest.of(b"").hex
UPLOAD = UUID("0cfd858d-025a-44b4-9493-5fc8ded003ef")


def test_a_blob_lies_below_the_first_digits_of_its_digest() -> None:
    assert LAYOUT.blob(Digest.of(b"")) == Path(f"/data/blobs/sha256/e3/{HEX}")


def test_each_folder_follows_the_one_it_lies_in() -> None:
    folders = list(LAYOUT.folders())

    for number, folder in enumerate(folders):
        assert folder.parent == LAYOUT.root or folder.parent in folders[:number]
    for algorithm in ("sha256", "sha512"):
        assert LAYOUT.blob(Digest.of(b"content", algorithm)).parent in folders
    assert LAYOUT.uploads in folders


def test_an_upload_id() -> None:
    assert is_upload_id(str(UPLOAD))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        f"../{UPLOAD}",
        "0" * 32,
        str(UPLOAD)[:-1],
        f"{UPLOAD}\n",
        f"{UPLOAD}.manifest",
        f"0123456789abcdef-{UPLOAD}",
    ],
)
def test_not_an_upload_id(text: str) -> None:
    assert not is_upload_id(text)


def test_the_certificates_belong_to_a_data_folder() -> None:
    assert is_ours("tls")
    assert is_ours("audit")
    assert is_ours("audit.key")
    assert not is_ours("tls.old")
