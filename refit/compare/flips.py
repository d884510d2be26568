"""The examples that only one of two runs predicts right, with their texts."""

from dataclasses import dataclass

import numpy as np

from refit.compare.comparison import why_not
from refit.compare.runs import Run
from refit.errors import DataError, NetworkError


@dataclass(frozen=True)
class Flip:
    """An example of data/raw: its row, label, both runs' predictions by name, and its text or pair of texts."""

    split: str
    row: int
    label: str
    before: str
    after: str
    texts: list[str]
    is_right_now: bool


def between(first: Run, second: Run) -> list[Flip]:
    """The examples that flipped, those that became wrong first.

    Raises DataError if the runs are not comparable example by example, NetworkError if a text cannot be fetched.
    """
    for run in (first, second):
        if run.missing:
            raise NetworkError(f"--flips: {run.missing}")
    if not (first.task and second.task and first.predicted and second.predicted):
        raise DataError("--flips needs the predictions")
    if first.task_name != second.task_name:
        raise DataError(f"--flips: {first.name} is of {first.task_name}, {second.name} of {second.task_name}")
    if first.task.is_regression:
        raise DataError(f"--flips: {first.task_name} predicts numbers; only classes can flip")
    flips = []
    for split in first.predicted.keys() & second.predicted.keys():
        reason = why_not(first, second, split)
        if reason:
            raise DataError(f"--flips: {first.name} and {second.name}, {split}: {reason}")
        flips += _of_split(first, second, split, first.task.labels)
    return sorted(flips, key=lambda flip: (flip.split, flip.is_right_now, flip.row))


def _of_split(first: Run, second: Run, split: str, labels: list[str]) -> list[Flip]:
    assert first.predicted is not None
    assert second.predicted is not None
    before, after = first.predicted[split], second.predicted[split]
    was_right, is_right = before.predictions == before.labels, after.predictions == after.labels
    flipped = np.flatnonzero(was_right != is_right)
    if not len(flipped):
        return []
    texts = second.texts(split, before.rows[flipped])
    return [
        Flip(
            split=split, row=int(before.rows[place]), label=labels[before.labels[place]],
            before=labels[before.predictions[place]], after=labels[after.predictions[place]],
            texts=[str(value) for value in text.values()], is_right_now=bool(is_right[place]),
        )
        for place, text in zip(flipped, texts, strict=True)
    ]  # fmt: skip
