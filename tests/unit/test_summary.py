"""The summary command: scores and timings as tables."""

from pathlib import Path

import pytest
from made_runs import task_record

from refit import paths, summary
from refit.errors import RefitError
from refit.storage import files


def test_scores_are_a_table_with_intervals_baseline_and_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a table that shows another figure than scores.json, or one that cannot be read."""
    monkeypatch.chdir(tmp_path)
    task_record(name="cola", human={"one rater": {"accuracy": 0.671}}).write(paths.TASK)
    files.write_json(paths.LOCAL_SPEED / "baseline.json", {"seconds": 2.1})
    files.write_json(paths.SCORES, {"cola": {"validation": {"accuracy": 0.53125, "loss": 1.2, "rows": 1043}}})
    test = {"value": 0.5, "difference": 0.03125, "p": 0.2}
    details = {"intervals": {"accuracy": [0.5, 0.5625]}, "baseline": {"accuracy": test}}
    files.write_json(paths.DETAILS, {"cola": {"validation": details}})
    head, line, *_ = summary.scores().splitlines()
    assert head.split() == [
        "task",
        "split",
        "score",
        "value",
        "95%",
        "interval",
        "TF-IDF",
        "difference",
        "to",
        "TF-IDF",
    ]
    assert line.split()[:8] == ["cola", "validation", "accuracy", "0.5312", "0.500", "to", "0.562", "0.5000"]
    assert line.endswith("+0.031, not shown to be better (p 0.2000)")
    said = "The accuracy on validation is not shown to be better than that of a linear model that trains in 2 s."
    assert said in summary.scores()
    assert "one rater against the mean of the others: accuracy 0.671" in summary.scores()


def test_a_folder_without_a_run_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a traceback as the first thing that a new user sees."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefitError):
        summary.scores()


def test_throughput_is_that_of_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a rate that counts the time to load libraries, and a division by a time that is rounded to zero."""
    monkeypatch.chdir(tmp_path)
    figures = {"seconds": 3.0, "loop_seconds": 2.0, "rows": 10, "tokens": 5000, "peak_memory_mb": 1608}
    files.write_json(paths.LOCAL_SPEED / "train.json", figures)
    files.write_json(paths.LOCAL_SPEED / "sample.json", {"seconds": 0.0, "rows": 60, "peak_memory_mb": 90})
    _, sample, train = summary.timings().splitlines()
    assert sample.split() == ["sample", "0.00", "90", "MB"]
    assert train.split() == ["train", "3.00", "5", "2,500", "1,608", "MB"]


def test_a_run_from_the_cache_has_no_timings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a failing summary, or an empty table, on a machine that only fetched a run."""
    monkeypatch.chdir(tmp_path)
    assert summary.timings() == ""
