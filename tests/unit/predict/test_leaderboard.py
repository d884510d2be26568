"""The files of GLUE's and CLUE's leaderboards."""

import zipfile
from pathlib import Path
from typing import Any

import pytest

from refit.download.task_registry import TASKS, Leaderboard
from refit.errors import UsageError
from refit.predict import leaderboard

HEAD = "index\tprediction\n"
NLI = ["entailment", "neutral", "contradiction"]


def board(task: str) -> Leaderboard:
    found = TASKS[task].leaderboard
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("task", "predictions", "labels", "expected"),
    [
        ("cola", {"test": ["good", "bad"]}, ["bad", "good"], {"CoLA.tsv": HEAD + "0\t1\n1\t0\n"}),
        ("qnli", {"test": ["not_a"]}, ["a", "not_a"], {"QNLI.tsv": HEAD + "0\tnot_a\n"}),
        ("wnli", {"test": ["a"]}, ["not_a", "a"], {"WNLI.tsv": HEAD + "0\t1\n"}),
        (
            "mnli", {"test": NLI[2:], "test_mismatched": NLI[1:2], "test_ax": NLI[:1]}, NLI,
            {"MNLI-m.tsv": HEAD + "0\tcontradiction\n", "MNLI-mm.tsv": HEAD + "0\tneutral\n",
             "AX.tsv": HEAD + "0\tentailment\n"},
        ),
        ("stsb", {"test": [5.3, -0.1, 2.34567]}, [], {"STS-B.tsv": HEAD + "0\t5.000\n1\t0.000\n2\t2.346\n"}),
        (
            "afqmc", {"test": ["0", "1"]}, ["0", "1"],
            {"afqmc_predict.json": '{"id": 0, "label": "0"}\n{"id": 1, "label": "1"}\n'},
        ),
    ],
)  # fmt: skip
def test_submission_files(
    tmp_path: Path, task: str, predictions: dict[str, list[Any]], labels: list[str], expected: dict[str, str]
) -> None:
    """Prevents another name, header or label than the leaderboard takes, and a zip with anything else in it."""
    leaderboard.write(board(task), predictions, labels, tmp_path / "submission")
    with zipfile.ZipFile(tmp_path / "submission.zip") as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == expected


def test_missing_files_of_a_submission_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents an upload that lacks a task and scores nothing."""
    for task in ("cola", "sst2"):
        leaderboard.write(board(task), {"test": ["b"]}, ["a", "b"], tmp_path / "glue")
    assert zipfile.ZipFile(tmp_path / "glue.zip").namelist() == ["CoLA.tsv", "SST-2.tsv"]
    missing = capsys.readouterr().err.splitlines()[-1].partition("needs ")[2].split(", ")
    assert set(missing) == {
        "MRPC.tsv", "STS-B.tsv", "QQP.tsv", "MNLI-m.tsv", "MNLI-mm.tsv", "QNLI.tsv", "RTE.tsv", "WNLI.tsv", "AX.tsv"
    }  # fmt: skip


def test_only_submissions_that_refit_wrote_are_replaced(tmp_path: Path) -> None:
    """Prevents the loss of a leaderboard file that another tool made."""

    def written(label: str) -> str:
        folder = leaderboard.checked_folder(tmp_path, board("cola"))
        leaderboard.write(board("cola"), {"test": [label]}, ["a", "b"], folder)
        return (folder / "CoLA.tsv").read_text()

    assert written("a") != written("b")
    for name in ("glue/CoLA.tsv", "glue.zip"):
        before = (tmp_path / name).read_bytes()
        (tmp_path / name).write_text("another tool's")
        with pytest.raises(UsageError, match=name):
            written("a")
        assert (tmp_path / name).read_text() == "another tool's"
        (tmp_path / name).write_bytes(before)
