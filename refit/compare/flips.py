"""The examples that only one of two runs predicts right, with their texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refit.compare.comparison import why_not
from refit.compare.runs import Run, texts
from refit.errors import DataError, NetworkError, UsageError
from refit.evaluation.metrics import is_right


@dataclass(frozen=True)
class Flip:
    """An example of data/raw: its row, label, both runs' predictions by name, and its text or pair of texts, joined."""

    split: str
    row: int
    label: str
    before: str
    after: str
    text: str


def between(runs: Sequence[Run]) -> list[Flip]:
    """The examples that flipped between two runs, those that became wrong first.

    Raises UsageError if there are not two runs, DataError if they are not comparable example by example, NetworkError
    if a file cannot be fetched.
    """
    if len(runs) != 2:
        raise UsageError(f"--flips: got {len(runs)} revisions, need two; name them")
    first, second = runs
    if first.task is None or second.task is None:
        raise NetworkError(f"--flips: {first.missing or second.missing}")
    if first.task_name != second.task_name:
        raise DataError(f"--flips: {first.name} is of {first.task_name}, {second.name} of {second.task_name}")
    if first.task.is_regression:
        raise DataError(f"--flips: {first.task_name} predicts numbers; only classes can flip")
    names, flips = first.task.labels, []
    for split in first.predicted.keys() & second.predicted.keys():
        reason = why_not(first, second, split)
        if reason:
            raise DataError(f"--flips: {first.name} and {second.name}, {split}: {reason}")
        rows, labels = first.predicted[split].rows, first.predicted[split].labels
        before, after = first.predicted[split].predictions, second.predicted[split].predictions
        flipped = np.flatnonzero(is_right(labels, before) != is_right(labels, after))
        for place, of_row in zip(flipped, texts(first.revision, split, rows[flipped]), strict=True):
            label, was, now = (_named(column[place], names) for column in (labels, before, after))
            flips.append(Flip(split, int(rows[place]), label, was, now, " ‖ ".join(of_row)))
    return sorted(flips, key=lambda flip: (flip.split, flip.after == flip.label, flip.row))


def _named(label: Any, names: Sequence[str]) -> str:
    """The name of a label, or the names of all labels that a row of a multi-label task has."""
    ids = [label] if np.ndim(label) == 0 else np.flatnonzero(label > 0)
    return " | ".join(names[int(place)] for place in ids)
