"""Which rows runs have in common: whether their scores are comparable, and scores on the common rows alone."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, reduce

import numpy as np
import pyarrow as pa

from refit.compare import data_changes
from refit.compare.runs import Run, scores_of
from refit.errors import DataError, NetworkError, RefitError
from refit.escaping import one_line


@cache  # for every score of the split
def why_not(first: Run, second: Run, split: str) -> str | None:
    """Why the scores of two runs that have predictions are not comparable on a split; None if they are."""
    if first.folds or second.folds:
        these, those = (", ".join(str(fold.params["fold"]) for fold in run.folds) or "none" for run in (first, second))
        if these != those:
            return f"other folds: {these} and {those}"
        pairs = zip(first.folds, second.folds, strict=True)
        return next((why for pair in pairs if (why := why_not(*pair, split))), None)
    assert first.task
    assert second.task
    if first.task.labels != second.task.labels:
        only = ", ".join(sorted(set(first.task.labels) ^ set(second.task.labels)))
        return one_line(f"other labels: only one of the two has {only}" if only else "other order of labels")
    hint = "--common-rows compares the rows that both have"
    if first.task.splits[split].sha256 == second.task.splits[split].sha256:
        rows, others = (run.predicted[split]["row"].to_numpy() for run in (first, second))
        both = len(np.intersect1d(rows, others))
        same = f"other rows: {len(rows):,} and {len(others):,}, of which {both:,} are the same; {hint}"
        return None if np.array_equal(rows, others) else same
    try:
        found = data_changes.pairs(_data(first, split), _data(second, split))
    except RefitError as error:
        return f"other data: the files have another sha256; what changed is not known: {error}"
    changed = data_changes.summary(data_changes.counted(found))
    return f"other data: {changed} (python -m refit.compare --data {first.name} {second.name}); {hint}"


def restricted(runs: Sequence[Run]) -> list[Run]:
    """The runs with only the rows that all of them have, and the scores on these; splits without any are left out.

    Rows are the same if their texts and label are. Raises NetworkError without predictions, DataError if no rows are in
    common.
    """
    first, predicted = runs[0], [dict[str, pa.Table]() for _ in runs]
    for run in runs:
        if run.task is None or first.task is None:
            raise NetworkError(f"--common-rows: {run.missing or first.missing}")
        if run.task.labels != first.task.labels:
            known = "; ".join(", ".join(task.labels) for task in (first.task, run.task))
            raise DataError(f"--common-rows: {first.name} and {run.name} have other labels ({known})")
    assert first.task
    for split in (split for split in first.predicted if all(split in run.predicted for run in runs)):
        of_runs = [data_changes.keys(_data(run, split).take(run.predicted[split]["row"]), ["label"]) for run in runs]
        common = of_runs[0][np.isin(of_runs[0], reduce(np.intersect1d, of_runs))]
        for run, keys, found in zip(runs, of_runs, predicted, strict=True):
            order = np.argsort(keys)
            if len(common):
                found[split] = run.predicted[split].take(order[np.searchsorted(keys, common, sorter=order)])
    if not predicted[0]:
        names = " and ".join(run.name for run in runs)
        raise DataError(f"--common-rows: {names} have no row in common: no text has the same label in the same split")
    counts = ", ".join(f"{len(of):,} of {split}" for split, of in predicted[0].items())
    note = f"Only rows that all of these revisions have: {counts}"
    return [
        replace(
            run,
            task=first.task,
            predicted={
                split: of.drop_columns("row").append_column("row", predicted[0][split]["row"])
                for split, of in found.items()
            },
            scores={split: scores_of(first.task, of) for split, of in found.items()},
            notes=[*run.notes, note] if run is first else run.notes,
        )
        for run, found in zip(runs, predicted, strict=True)
    ]


@cache
def _data(run: Run, split: str) -> pa.Table:
    assert run.task
    return data_changes.read(run.revision, run.task, split)
