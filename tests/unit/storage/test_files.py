"""Files: a hash is of all of a file's bytes, however they are read."""

import hashlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refit.errors import DataError
from refit.storage import files, manifest


@given(st.binary(max_size=40), st.integers(1, 16))
def test_the_hash_is_of_every_byte(content: bytes, at_once: int) -> None:
    """Prevents two files that differ after the first read from having one hash."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        before, files.READ_BYTES = files.READ_BYTES, at_once
        try:
            assert files.sha256(path) == hashlib.sha256(content).hexdigest()
        finally:
            files.READ_BYTES = before


def test_a_folder_that_was_removed_is_made_again_by_dvc_alone(tmp_path: Path) -> None:
    """Prevents the advice to remove what is not there."""
    with pytest.raises(DataError, match=r"gone/manifest.json is missing; run: dvc repro$"):
        manifest.read(tmp_path / "gone")
