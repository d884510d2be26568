"""Manifests: every kind of damage is found, and the error names the file and a fix."""

from collections.abc import Callable
from pathlib import Path

import pytest

from refit.errors import DataError
from refit.storage import manifest


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-8]), "a.bin has 92 bytes, 100 were written"),
        (lambda path: path.write_bytes(b"\x01" + path.read_bytes()[1:]), "a.bin differs from what was written"),
        (lambda path: path.unlink(), "a.bin is missing"),
        (lambda path: path.with_name("manifest.json").unlink(), "manifest.json is missing"),
        (lambda path: path.with_name("manifest.json").write_text("{"), "manifest.json is damaged"),
        (lambda path: path.with_name("manifest.json").write_text('{"a.bin": {}}'), "manifest.json is damaged"),
    ],
)
def test_every_kind_of_damage_is_found(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    """Prevents a truncated, changed or missing file from being used as if it were complete."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.bin").write_bytes(bytes(100))
    manifest.write(folder, {"a.bin": {"rows": 50}})
    assert manifest.read(folder)["a.bin"]["rows"] == 50
    damage(folder / "a.bin")
    with pytest.raises(DataError, match=f"{message}.*; run: .*doctor --fix, rm -r {folder}, and then: dvc repro"):
        manifest.read(folder)
