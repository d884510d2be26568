"""The encoder against the baseline: the paired test of every score on every split, and what it says in words."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from refit import paths
from refit.data.task_record import TaskRecord
from refit.errors import DataError
from refit.evaluation import predictions, significance
from refit.evaluation.metrics import score
from refit.storage import manifest

DECIMALS = 6
LINEAR_MODEL = "TF-IDF"  # the baseline's name for people


def tests(task: TaskRecord, predicted: Mapping[str, pa.Table]) -> dict[str, dict[str, dict[str, Any]]]:
    """Split → score → the baseline's `value`, the encoder's `difference` to it with its 95% `interval`, and `p`.

    `predicted` has a table of refit/evaluation/predictions.py for each split. The p-values are corrected for the number
    of comparisons. Raises DataError if the baseline's predictions are damaged or of other rows.
    """
    manifest.read(paths.BASELINE)
    found: dict[str, dict[str, dict[str, Any]]] = {split: {} for split in predicted}
    for split, of_baseline in predictions.read(paths.BASELINE_PREDICTIONS, predicted).items():
        of_encoder = predicted[split]
        if not of_baseline.select(["row", "label"]).equals(of_encoder.select(["row", "label"])):
            raise DataError(f"{paths.BASELINE_PREDICTIONS}: its {split} rows are not those of this run; run: dvc repro")
        (labels, second), (_, first) = (predictions.arrays(table) for table in (of_encoder, of_baseline))
        for name in task.scores:
            of = significance.difference(name, labels, first, second)
            found[split][name] = {
                "value": round(score(name, labels, first), DECIMALS),
                "difference": round(of.value, DECIMALS),
                "interval": [round(of.low, DECIMALS), round(of.high, DECIMALS)],
                "p": of.p,
            }
    every = [test for of_split in found.values() for test in of_split.values()]
    for test, p in zip(every, significance.holm([test["p"] for test in every]), strict=True):
        test["p"] = float(f"{p:.3g}")
    return found


def verdict(test: Mapping[str, Any]) -> str:
    """The result of a test in words: `+0.090, real (p < 0.0001)`."""
    p = "p < 0.0001" if test["p"] < 0.0001 else f"p {test['p']:.4f}"
    if test["p"] >= significance.LEVEL:
        return f"{test['difference']:+.3f}, not shown to be {'better' if test['difference'] > 0 else 'worse'} ({p})"
    return f"{test['difference']:+.3f}, {'real' if test['difference'] > 0 else 'really worse'} ({p})"


def is_better(test: Mapping[str, Any]) -> bool:
    """Whether the encoder is shown to be better than the baseline."""
    return bool(test["difference"] > 0 and test["p"] < significance.LEVEL)
