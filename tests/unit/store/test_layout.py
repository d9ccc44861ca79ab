from pathlib import Path
from uuid import UUID

import pytest

from mirror.oci.digest import Digest
from mirror.oci.names import Repository
from mirror.store.layout import Layout, is_upload_id, upload_id_prefix

LAYOUT = Layout(Path("/data"))
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


@pytest.mark.parametrize("text", [str(UPLOAD), f"0123456789abcdef-{UPLOAD}"])
def test_an_upload_id(text: str) -> None:
    assert is_upload_id(text)


@pytest.mark.parametrize(
    "text", ["", "..", f"../{UPLOAD}", "0" * 32, str(UPLOAD)[:-1], f"{UPLOAD}\n", f"{UPLOAD}.manifest"]
)
def test_not_an_upload_id(text: str) -> None:
    assert not is_upload_id(text)


def test_the_prefix_tells_repositories_and_digests_apart() -> None:
    wanted = [
        (Repository(name), Digest.of(content, algorithm))
        for name in ("a/b", "a/c")
        for content in (b"1", b"2")
        for algorithm in ("sha256", "sha512")
    ]

    prefixes = {upload_id_prefix(repository, digest) for repository, digest in wanted}

    assert len(prefixes) == len(wanted)
    assert all(is_upload_id(f"{prefix}{UPLOAD}") for prefix in prefixes)
