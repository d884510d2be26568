"""Atomic writes: a failed write leaves the old content and nothing else."""

from contextlib import suppress
from pathlib import Path

from refit.storage import files


def test_a_failed_write_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    """Prevents half-written files and folders after an error, and files of a killed process that stay for ever."""
    files.write_text(tmp_path / "file", "old")
    files.write_text(tmp_path / "folder/part", "old")
    (tmp_path / ".file.999999999.tmp").write_text("of a killed process")
    with suppress(RuntimeError), files.replaced_file(tmp_path / "file") as path:
        path.write_text("new")
        raise RuntimeError
    with suppress(RuntimeError), files.replaced_folder(tmp_path / "folder") as folder:
        (folder / "part").write_text("new")
        raise RuntimeError
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}
    assert (tmp_path / "file").read_text() == (tmp_path / "folder/part").read_text() == "old"
