"""What the Trainer's log says: the curves as the CSV files that DVC plots, and the best evaluation."""

from pathlib import Path
from typing import Any

from refit.storage import files

Log = list[dict[str, Any]]


def without_timings(log: Log) -> Log:
    """The losses and evaluations of a log, without the timings, which differ from run to run."""
    return [
        {name: value for name, value in entry.items() if not name.endswith(("_runtime", "_per_second"))}
        for entry in log
        if "loss" in entry or "eval_loss" in entry
    ]


def steps(log: Log) -> list[dict[str, Any]]:
    """The rows of steps.csv: each logged loss, a mean since the one before, with the newest lr and gradient norm."""
    columns = {"step": "step", "epoch": "epoch", "loss": "loss", "lr": "learning_rate", "grad_norm": "grad_norm"}
    logged = [entry for entry in log if "loss" in entry]
    return [{column: entry.get(name, "") for column, name in columns.items()} for entry in logged]


def evaluations(log: Log, best_score: str) -> list[dict[str, Any]]:
    """The rows of history.csv, one per evaluation; the score that picks the best epoch comes last: DVC plots it."""
    rows = []
    for end, entry in enumerate(log):
        if "eval_loss" in entry:
            names = sorted(name for name in entry if name.startswith("eval_") and name != "eval_loss")
            names.sort(key=f"eval_{best_score}".__eq__)
            row = {"step": entry["step"], "epoch": entry["epoch"], "train_loss": train_loss(log[:end])}
            rows.append(row | {name.replace("eval_", "validation_", 1): entry[name] for name in ["eval_loss", *names]})
    return rows


def scores(log: Log, name: str) -> dict[int, float]:
    """A validation score of every evaluation, by its step."""
    return {entry["step"]: entry[f"eval_{name}"] for entry in log if f"eval_{name}" in entry}


def best_step(log: Log, name: str) -> int | None:
    """The step of the evaluation with the highest score, the first of equals; None before the first evaluation."""
    by_step = scores(log, name)
    return max(by_step, key=by_step.__getitem__, default=None)


def train_loss(log: Log) -> float:
    """The mean training loss since the last evaluation of a log."""
    total, since, last = 0.0, 0, 0
    for entry in log:
        if "loss" in entry:  # the mean since the entry before it
            total += entry["loss"] * (entry["step"] - last)
            last = entry["step"]
        elif "eval_loss" in entry:
            total, since, last = 0.0, entry["step"], entry["step"]
    return total / (last - since)


def write(rows: list[dict[str, Any]], path: Path) -> None:
    """Write rows, which have the same columns, as CSV."""
    files.write_csv(path, rows[0], [row.values() for row in rows])
