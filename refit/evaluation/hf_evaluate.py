"""The scores through the `evaluate` library's Metric interface, without its downloads.

`evaluate.load("accuracy")` fetches a program from the hub and runs it; these subclasses bring the same numbers with
code that is here, so `evaluate.combine` and friends work offline (docs/report.md). The stages take the functions of
refit/evaluation/scores.py without it: importing `evaluate` takes them most of a second.
"""

from typing import Any

import datasets
import evaluate
import numpy as np

from refit.evaluation import scores


class Metric(evaluate.Metric):  # type: ignore[misc]
    """One score of refit/evaluation/scores.py as an evaluate.Metric; `config_name` is its name there."""

    def _info(self) -> evaluate.MetricInfo:
        value = "float32" if self.config_name in scores.REGRESSION else "int64"
        features = {"predictions": datasets.Value(value), "references": datasets.Value(value)}
        return evaluate.MetricInfo(
            description=scores.meaning(str(self.config_name)),
            citation="",
            inputs_description="predictions and references: one label index, or one value, a row",
            features=datasets.Features(features),
        )

    def _compute(self, *, predictions: Any, references: Any) -> dict[str, float]:
        name = str(self.config_name)
        return {name: scores.score(name, np.asarray(references), np.asarray(predictions))}


def load(name: str) -> Metric:
    """The metric of a score's name; it keeps its rows in memory, not in a cache on disk."""
    return Metric(config_name=name, keep_in_memory=True)
