"""System calls that are repeated until complete."""

from pathlib import Path
from threading import Event, Thread

from mirror.store.content.filesystem import Filesystem


def test_a_folder_is_made_also_while_others_remove_it(tmp_path: Path) -> None:
    filesystem, folder, enough = Filesystem(), tmp_path / "folder", Event()

    def remove() -> None:
        while not enough.is_set():
            filesystem.remove_folder(folder)

    removing = Thread(target=remove)
    removing.start()
    try:
        for _ in range(20_000):
            filesystem.make_folder(folder)
    finally:
        enough.set()
        removing.join()
    filesystem.make_folder(folder)
    assert folder.is_dir()
