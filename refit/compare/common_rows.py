"""The rows that two runs on different data both have, so that their scores can be compared on these."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from refit.compare import data_changes
from refit.compare.data_changes import Places
from refit.compare.runs import Run
from refit.errors import DataError, NetworkError, RefitError
from refit.evaluation.metrics import score


@cache  # for every score of the split
def other_rows(first: Run, second: Run, split: str) -> str | None:
    """How the rows of a split differ between two runs with the same labels, or None."""
    rows, others = first.predicted[split].rows, second.predicted[split].rows
    if _sha256(first, split) == _sha256(second, split):
        if np.array_equal(rows, others):
            return None
        both = len(matched(first, second, split)[0])
        return f"other rows: {len(rows):,} and {len(others):,}, of which {both:,} are the same{_hint(both)}"
    try:
        found = data_changes.pairs(_data(first, split), _data(second, split))
        both = len(matched(first, second, split)[0])
    except RefitError as error:
        return f"other data: the files have another sha256; what changed is not known: {error}"
    changed = data_changes.summary({kind: len(before) for kind, (before, _) in found.items()})
    command = f"python -m refit.compare --data {first.name} {second.name}"
    return f"other data: {changed} ({command}){_hint(both)}"


def matched(first: Run, second: Run, split: str) -> tuple[Places, Places]:
    """The places, in the predictions of two runs, of the rows with the same texts and label."""
    rows, others = first.predicted[split].rows, second.predicted[split].rows
    if _sha256(first, split) == _sha256(second, split):
        return np.intersect1d(rows, others, assume_unique=True, return_indices=True)[1:]
    hashes, other_hashes = (data_changes.hashes(_data(run, split), ["label"]) for run in (first, second))
    return data_changes.matched(hashes[rows], other_hashes[others])


def restricted(first: Sequence[Run], second: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Two groups of runs with only the rows that both have, and their scores on these; splits without any are left out.

    Raises NetworkError without predictions, DataError if no rows are in common.
    """
    one, other = first[0], second[0]
    names = f"--common-rows: {one.name} and {other.name}"
    if missing := next((run.missing for run in (*first, *second) if run.missing), None):
        raise NetworkError(f"--common-rows: {missing}")
    if one.task and other.task and one.task.labels != other.task.labels:
        raise DataError(f"{names} have other labels ({', '.join(one.task.labels)}; {', '.join(other.task.labels)})")
    places = {split: matched(one, other, split) for split in one.predicted if split in other.predicted}
    places = {split: both for split, both in places.items() if len(both[0])}
    if not places:
        raise DataError(f"{names} have no row in common: no text has the same label in the same split of both")
    for side in (first, second):
        if any(not np.array_equal(run.predicted[of].rows, side[0].predicted[of].rows) for run in side for of in places):
            raise DataError(f"{names}: the runs of one group have different rows; name one run of each")
    rows = {split: one.predicted[split].rows[both[0]] for split, both in places.items()}
    sides = [{split: both[side] for split, both in places.items()} for side in (0, 1)]
    return [_at(run, one, sides[0], rows) for run in first], [_at(run, one, sides[1], rows) for run in second]


def _at(run: Run, one: Run, places: dict[str, Places], rows: dict[str, Places]) -> Run:
    """The run with the predictions at these places alone, as if they were of the rows `rows` of the run `one`."""
    assert one.task
    predicted, scores = {}, {}
    for split, at in places.items():
        of = run.predicted[split]
        predicted[split] = replace(of, rows=rows[split], labels=of.labels[at], predictions=of.predictions[at])
        values = {name: score(name, of.labels[at], of.predictions[at]) for name in one.task.scores}
        scores[split] = {"rows": len(at), **values}
    return replace(run, task=one.task, predicted=predicted, scores=scores)


def _sha256(run: Run, split: str) -> str:
    assert run.task
    return run.task.splits[split].sha256


def _hint(both: int) -> str:
    return f"; --common-rows compares the {both:,} that both have" if both else "; none in common"


@cache
def _data(run: Run, split: str) -> pa.Table:
    assert run.task
    with TemporaryDirectory() as folder:
        return data_changes.read(run.revision, run.task, [split], Path(folder)).rows
