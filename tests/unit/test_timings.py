"""The timing record."""

from pathlib import Path

import pytest

from refit import paths, timings
from refit.storage import files


def test_rates_are_of_the_loop_and_an_instant_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Sixty rows take less than the record's hundredth of a second on a fast machine: divided by it, no report.
    monkeypatch.chdir(tmp_path)
    files.write_json(paths.LOCAL_SPEED / "train.json", {"seconds": 3.0, "loop_seconds": 2.0, "rows": 10, "tokens": 50})
    files.write_json(paths.LOCAL_SPEED / "sample.json", {"seconds": 0.0, "rows": 60})
    found = timings.collect()
    assert found["sample"] == {"seconds": 0.0, "rows": 60}
    rates = {"rows_per_second": 5.0, "tokens_per_second": 25.0, "outside_loop_seconds": 1.0}
    assert found["train"] == {"seconds": 3.0, "loop_seconds": 2.0, "rows": 10, "tokens": 50, **rates}
