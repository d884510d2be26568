"""The examples that the page shows as text: mistakes, uncertain predictions, and some of each label."""

from typing import Any

import numpy as np

from refit.report.run_data import Column, Run

EXAMPLES = 8
EXAMPLES_PER_LABEL = 2
MOST_LABELS = 12
SEED = 0
Example = dict[str, Any]


def mistakes(run: Run) -> dict[str, list[Example]]:
    """Validation examples by kind of mistake.

    Classification: `confident`, the wrong predictions of highest probability, and `uncertain`, the predictions whose
    two most likely labels are closest. Regression: `largest`, the largest errors.
    """
    predicted = run.predicted["validation"]
    if predicted.probabilities is None:
        return {"largest": _examples(run, np.argsort(-np.abs(predicted.error), kind="stable"))}
    ordered = np.sort(predicted.probabilities, axis=1)
    wrong = np.flatnonzero(predicted.right == 0)
    return {
        "confident": _examples(run, wrong[np.argsort(-ordered[wrong, -1], kind="stable")]),
        "uncertain": _examples(run, np.argsort(ordered[:, -1] - ordered[:, -2], kind="stable")),
    }


def examples(run: Run) -> dict[str, Any]:
    """Random training examples of each label, or of each quarter of the values for regression."""
    used = run.sampled["train"]
    labels = min(len(run.task.labels), MOST_LABELS)
    if run.task.is_regression:
        groups = np.array_split(np.argsort(used.label, kind="stable"), 4)
    else:
        groups = [np.flatnonzero(used.label == label) for label in range(labels)]
    generator = np.random.default_rng(SEED)
    chosen = np.concatenate(
        [
            generator.choice(group, size=min(EXAMPLES_PER_LABEL, len(group)), replace=False)
            for group in groups
            if len(group)
        ]
    )
    drawn = [
        {"texts": texts, "row": used.row[i], "label": used.label[i]}
        for i, texts in zip(chosen, run.texts("train", used.row[chosen]), strict=True)
    ]
    return {"drawn": drawn, "labels": labels}


def _examples(run: Run, order: Column) -> list[Example]:
    """The first of the validation examples in an order, for classes with the two most likely labels."""
    predicted, chosen = run.predicted["validation"], order[:EXAMPLES]
    found = []
    for i, texts in zip(chosen, run.texts("validation", predicted.row[chosen]), strict=True):
        example = {"texts": texts, "row": predicted.row[i], "label": predicted.label[i]}
        if predicted.probabilities is None:
            example["prediction"] = predicted.prediction[i]
        else:
            chances = predicted.probabilities[i]
            example["likely"] = [(label, chances[label]) for label in np.argsort(-chances, kind="stable")[:2]]
        found.append(example)
    return found
