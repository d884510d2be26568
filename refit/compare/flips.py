"""The examples that only one of two runs predicts right, with their texts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from refit.compare.common_rows import why_not
from refit.compare.runs import Run, texts
from refit.errors import DataError, NetworkError, UsageError
from refit.evaluation.metrics import is_right
from refit.evaluation.predictions import arrays


def between(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The examples that flipped between two runs, those that became wrong first.

    Each has its split, its row there, its label and both predictions by name, and its text or pair of texts. Raises
    UsageError if there are not two runs, DataError if they are not comparable example by example, NetworkError if a
    file cannot be fetched.
    """
    if len(runs) != 2:
        raise UsageError(f"--flips: got {len(runs)} revisions, need two; name them")
    first, second = runs
    if first.task is None or second.task is None:
        raise NetworkError(f"--flips: {first.missing or second.missing}")
    if first.task.is_regression:
        raise DataError(f"--flips: {first.task_name} predicts numbers; only classes can flip")
    flips: list[dict[str, Any]] = []
    for split in sorted(first.predicted.keys() & second.predicted.keys()):
        if reason := why_not(first, second, split):
            raise DataError(f"--flips: {first.name} and {second.name}, {split}: {reason}")
        labels, before = arrays(first.predicted[split])
        _, after = arrays(second.predicted[split])
        are_right = is_right(labels, after)
        flipped = np.flatnonzero(is_right(labels, before) != are_right)
        flipped = flipped[np.argsort(are_right[flipped], kind="stable")]
        rows = first.predicted[split]["row"].take(flipped)
        for place, row, of_row in zip(flipped, rows.to_pylist(), texts(first.revision, split, rows), strict=True):
            label, was, now = (_named(column[place], first.task.labels) for column in (labels, before, after))
            flip = {"split": split, "row": row, "label": label, "before": was, "after": now}
            flips.append({**flip, "text": " ‖ ".join(of_row)})
    return flips


def _named(label: Any, names: Sequence[str]) -> str:
    """The name of a label, or the names of all labels that a row of a multi-label task has."""
    ids = [label] if np.ndim(label) == 0 else np.flatnonzero(label > 0)
    return " | ".join(names[int(place)] for place in ids)
