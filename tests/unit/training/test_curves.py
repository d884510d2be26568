"""The curves: each evaluation beside the mean training loss since the one before it."""

import csv
from pathlib import Path

import pytest

from refit.training import curves

LOG = [
    {"step": 2, "epoch": 0.5, "loss": 1.0, "learning_rate": 0.1, "grad_norm": 2.0},
    {"step": 3, "epoch": 0.75, "loss": 4.0, "learning_rate": 0.1, "grad_norm": 2.0},
    {"step": 3, "epoch": 0.75, "eval_loss": 0.9, "eval_accuracy": 0.5},
    {"step": 4, "epoch": 1.0, "loss": 0.5, "learning_rate": 0.1, "grad_norm": 2.0},
    {"step": 4, "epoch": 1.0, "eval_loss": 0.8, "eval_accuracy": 0.6},
]


def test_an_evaluation_has_the_mean_loss_of_its_own_steps() -> None:
    """Prevents the loss of one logged stretch from standing for a whole epoch."""
    rows = curves.evaluations(LOG, "accuracy")
    assert [row["train_loss"] for row in rows] == pytest.approx([(2 * 1.0 + 4.0) / 3, 0.5])
    assert [row["validation_accuracy"] for row in rows] == [0.5, 0.6]
    assert curves.train_loss(LOG[:4]) == rows[1]["train_loss"], "what is shown in training is what is kept"


def test_the_score_that_picks_the_best_epoch_is_the_last_column() -> None:
    """DVC plots the last column of curves.csv: the wrong one would plot another score under that title."""
    entry = {"step": 1, "epoch": 1.0, "eval_loss": 1.0, "eval_accuracy": 0.5, "eval_macro_f1": 0.4}
    log: curves.Log = [{"step": 1, "epoch": 1.0, "loss": 1.0, "learning_rate": 0.1}, entry]
    assert list(curves.evaluations(log, "accuracy")[0])[-1] == "validation_accuracy"
    assert list(curves.evaluations(log, "macro_f1")[0])[-1] == "validation_macro_f1"


def test_numbers_survive_the_file(tmp_path: Path) -> None:
    """Prevents rounding on the way to the plots."""
    curves.write(curves.steps(LOG), tmp_path / "steps.csv")
    with (tmp_path / "steps.csv").open() as file:
        assert [float(row["loss"]) for row in csv.DictReader(file)] == [1.0, 4.0, 0.5]
