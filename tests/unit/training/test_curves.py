"""The curves and the best evaluation, computed from the Trainer's log."""

import csv
from pathlib import Path

import pytest

from refit.training import curves

LOG = [
    {"step": 2, "epoch": 0.5, "loss": 1.0, "learning_rate": 0.1, "grad_norm": 2.0},
    {"step": 3, "epoch": 0.75, "loss": 4.0, "learning_rate": 0.1, "grad_norm": 2.0},
    {"step": 3, "epoch": 0.75, "eval_loss": 0.9, "eval_accuracy": 0.6},
    {"step": 4, "epoch": 1.0, "loss": 0.5, "learning_rate": 0.1, "grad_norm": 2.0},
    {"step": 4, "epoch": 1.0, "eval_loss": 0.8, "eval_accuracy": 0.6},
]


def test_an_evaluation_has_the_mean_loss_since_the_one_before() -> None:
    """Prevents a loss of the last logged steps that is read as that of a complete epoch."""
    rows = curves.evaluations(LOG, "accuracy")
    assert [row["train_loss"] for row in rows] == pytest.approx([(2 * 1.0 + 4.0) / 3, 0.5])
    assert [row["validation_accuracy"] for row in rows] == [0.6, 0.6]
    assert curves.train_loss(LOG[:4]) == rows[1]["train_loss"], "the bar shows what history.csv records"


def test_the_first_of_equal_scores_is_the_best() -> None:
    """Prevents a later model of the same score, which has trained longer for nothing."""
    assert curves.best_step(LOG, "accuracy") == 3
    assert curves.best_step(LOG[:2], "accuracy") is None


@pytest.mark.parametrize("best", ["accuracy", "macro_f1"])
def test_the_score_that_picks_the_best_epoch_is_the_last_column(best: str) -> None:
    """Prevents a plot of another score: DVC plots the last column of history.csv."""
    log: curves.Log = [LOG[0], {"step": 3, "epoch": 1.0, "eval_loss": 1.0, "eval_accuracy": 0.5, "eval_macro_f1": 0.4}]
    assert list(curves.evaluations(log, best)[0])[-1] == f"validation_{best}"


def test_numbers_survive_the_file(tmp_path: Path) -> None:
    """Prevents numbers that are rounded before they are plotted."""
    rows = [{**row, "loss": row["loss"] / 3} for row in curves.steps(LOG)]
    curves.write(rows, tmp_path / "steps.csv")
    with (tmp_path / "steps.csv").open() as file:
        assert [float(row["loss"]) for row in csv.DictReader(file)] == [row["loss"] for row in rows]
