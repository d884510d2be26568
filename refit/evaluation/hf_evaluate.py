"""The registry's scores as `evaluate.Metric`s, which the Trainer and the evaluate stage compute.

`evaluate.load("accuracy")` fetches a program from the hub and runs it; these compute the same numbers offline, and
work with `evaluate.combine` (docs/report.md). It is not part of the registry because importing `evaluate` takes
commands such as compare, which never need it, about a second.
"""

from typing import Any

import datasets
import evaluate
import numpy as np

from refit.evaluation.metrics import SCORES, Labels, score


class Metric(evaluate.Metric):  # type: ignore[misc]
    """One score of the registry as an evaluate.Metric; `config_name` is its name there."""

    def _info(self) -> evaluate.MetricInfo:
        of = SCORES[str(self.config_name)]
        values = {"classification": datasets.Value("int64"), "regression": datasets.Value("float32"),
                  "multi_label": datasets.Sequence(datasets.Value("float64"))}  # fmt: skip
        return evaluate.MetricInfo(
            description=of.label,
            citation="",
            inputs_description="per example: a label id, a value, or a number for each label of a multi-label task",
            features=[
                datasets.Features({"predictions": values[kind], "references": values[kind]})
                for kind in of.problem_types
            ],
        )

    def _compute(self, *, predictions: Any, references: Any) -> dict[str, float]:
        name = str(self.config_name)
        return {name: score(name, np.asarray(references), np.asarray(predictions))}


def load(name: str) -> Metric:
    """The metric of a score's name; it keeps its rows in memory, not in a cache on disk."""
    return Metric(config_name=name, keep_in_memory=True)


def compute(names: list[str], labels: Labels, predictions: Labels) -> dict[str, float]:
    """The named scores of labels and predictions (rows)."""
    together = evaluate.combine([load(name) for name in names])
    return dict(together.compute(references=labels, predictions=predictions))
