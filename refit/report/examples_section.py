"""The examples that the page shows as text: mistakes, uncertain predictions, and some of each label."""

from typing import Any

import numpy as np

from refit.report.run_data import Column, Predicted, Run

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
    predicted = run.predicted("validation")
    chances = predicted.probabilities
    if chances is None:
        worst = np.argsort(-np.abs(predicted.error), kind="stable")[:EXAMPLES]
        values = zip(worst, run.texts("validation", predicted.row[worst]), strict=True)
        return {
            "largest": [
                {"texts": texts, "row": predicted.row[i], "label": predicted.label[i],
                 "prediction": predicted.prediction[i]}
                for i, texts in values
            ]
        }  # fmt: skip
    wrong = np.flatnonzero(predicted.right == 0)
    ordered = np.sort(chances, axis=1)
    margin = ordered[:, -1] - ordered[:, -2] if chances.shape[1] > 1 else ordered[:, -1]
    confident = wrong[np.argsort(-ordered[wrong, -1], kind="stable")][:EXAMPLES]
    uncertain = np.argsort(margin, kind="stable")[:EXAMPLES]
    return {
        "confident": _predictions(run, predicted, chances, confident),
        "uncertain": _predictions(run, predicted, chances, uncertain),
    }


def examples(run: Run) -> dict[str, Any]:
    """Random training examples of each label, or of each quarter of the values for regression."""
    used = run.sampled["train"]
    labels = min(len(run.labels), MOST_LABELS)
    if run.is_regression:
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
        {"texts": texts, "row": used.row[i], "label": used.label[i] if run.is_regression else run.labels[used.label[i]]}
        for i, texts in zip(chosen, run.texts("train", used.row[chosen]), strict=True)
    ]
    return {"drawn": drawn, "labels": labels}


def _predictions(run: Run, predicted: Predicted, chances: Column, chosen: Column) -> list[Example]:
    found = []
    for i, texts in zip(chosen, run.texts("validation", predicted.row[chosen]), strict=True):
        label, prediction = predicted.label[i], predicted.prediction[i]
        second = np.argsort(-chances[i], kind="stable")[:2][-1]
        found.append(
            {
                "texts": texts, "row": predicted.row[i],
                "label": run.labels[label], "label_probability": chances[i, label],
                "prediction": run.labels[prediction], "probability": chances[i, prediction],
                "second": run.labels[second], "second_probability": chances[i, second],
            }
        )  # fmt: skip
    return found
