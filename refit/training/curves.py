"""The curves of a training run, as the CSV files that DVC plots."""

import csv
import io
from pathlib import Path
from typing import Any

from refit.storage import files

Log = list[dict[str, Any]]


def steps(log: Log) -> list[dict[str, Any]]:
    """One row for each logged stretch of steps: step, epoch, loss (its mean), lr and the last gradient's norm."""
    return [
        {
            "step": entry["step"],
            "epoch": entry["epoch"],
            "loss": entry["loss"],
            "lr": entry["learning_rate"],
            "grad_norm": entry.get("grad_norm", ""),
        }
        for entry in log
        if "loss" in entry
    ]


def evaluations(log: Log, best_score: str) -> list[dict[str, Any]]:
    """One row for each evaluation: step, epoch, train_loss (mean since the last one), validation_loss and scores.

    The score that picks the best epoch comes last: DVC plots the last column, whatever the task calls it.
    """
    rows = []
    for end, entry in enumerate(log):
        if "eval_loss" in entry:
            scores = {
                f"validation_{name.removeprefix('eval_')}": value
                for name, value in sorted(entry.items(), key=lambda item: (item[0] == f"eval_{best_score}", item[0]))
                if name.startswith("eval_") and not name.endswith(("_runtime", "_per_second", "_loss"))
            }
            row = {"step": entry["step"], "epoch": entry["epoch"], "train_loss": train_loss(log[:end])}
            rows.append({**row, "validation_loss": entry["eval_loss"], **scores})
    return rows


def train_loss(log: Log) -> float:
    """The mean training loss since the last evaluation of a log."""
    start = next((place for place in range(len(log), 0, -1) if "eval_loss" in log[place - 1]), 0)
    since = last = log[start - 1]["step"] if start else 0
    total = 0.0
    for entry in log[start:]:
        if "loss" in entry:  # the mean since the entry before it
            total += entry["loss"] * (entry["step"] - last)
            last = entry["step"]
    return total / (last - since)


def write(rows: list[dict[str, Any]], path: Path) -> None:
    """Write rows as CSV; numbers in full, so that reading them gives the same numbers."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["step"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(path, text.getvalue())
