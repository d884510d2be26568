"""Pool the runs of a cross-validation: on validation they are one run, of which each fold predicts a part."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from refit.compare.runs import Predicted, Run


def pooled(runs: Sequence[Run]) -> list[Run]:
    """One run for all folds of each seed, with the predictions on validation in the order of `fold`.

    Its scores are those of all predictions together, or if predictions are missing the mean of the folds' scores. A run
    without folds is returned as it is.
    """
    of_seed: dict[object, list[Run]] = {}
    for run in runs:
        of_seed.setdefault(run.params.get("seed") if run.params.get("folds") else id(run), []).append(run)
    return [_pooled(of) if of[0].params.get("folds") else of[0] for of in of_seed.values()]


def _pooled(runs: list[Run]) -> Run:
    folds = sorted(runs, key=lambda run: int(run.params["fold"]))
    scores = [run.scores["validation"] for run in folds]
    values = {name: float(np.mean([of[name] for of in scores])) for name in scores[0]}
    values["rows"] = sum(of["rows"] for of in scores)
    predicted, missing = {}, next((run.missing for run in folds if run.missing), "")
    if folds[0].task and not missing:
        columns = zip(*(vars(run.predicted["validation"]).values() for run in folds), strict=True)
        predicted["validation"] = Predicted(*map(np.concatenate, columns))
        values |= predicted["validation"].scores(folds[0].task)
    return replace(folds[0], scores={"validation": values}, predicted=predicted, missing=missing, folds=tuple(folds))
