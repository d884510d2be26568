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
    two most likely labels are closest. Multi-label: the same with the labels of each example that are furthest from the
    truth, and closest to their thresholds. Regression: `largest`, the largest errors.
    """
    predicted = run.predicted["validation"]
    if predicted.probabilities is None:
        return {"largest": _examples(run, np.argsort(-np.abs(predicted.error), kind="stable"))}
    if run.task.is_multi_label:
        thresholds = [run.details["validation"]["thresholds"][label] for label in run.task.labels]
        wrong_by = np.abs(predicted.probabilities - predicted.label).max(axis=1)
        margin = np.abs(predicted.probabilities - np.array(thresholds)).min(axis=1)
    else:
        ordered = np.sort(predicted.probabilities, axis=1)
        wrong_by, margin = ordered[:, -1], ordered[:, -1] - ordered[:, -2]
    wrong = np.flatnonzero(predicted.right == 0)
    return {
        "confident": _examples(run, wrong[np.argsort(-wrong_by[wrong], kind="stable")]),
        "uncertain": _examples(run, np.argsort(margin, kind="stable")),
    }


def examples(run: Run) -> dict[str, Any]:
    """Random training examples of each label, or of each quarter of the values for regression."""
    used = run.sampled["train"]
    labels = min(len(run.task.labels), MOST_LABELS)
    if run.task.is_regression:
        groups = np.array_split(np.argsort(used.label, kind="stable"), 4)
    else:
        has_label = used.label.T > 0 if run.task.is_multi_label else [used.label == label for label in range(labels)]
        groups = [np.flatnonzero(of_label) for of_label in has_label[:labels]]
    generator = np.random.default_rng(SEED)
    sizes = [min(EXAMPLES_PER_LABEL, len(group)) for group in groups]
    drawn = [generator.choice(group, size, replace=False) for group, size in zip(groups, sizes, strict=True) if size]
    chosen = np.concatenate(drawn)
    shown = [
        {"texts": texts, "row": used.row[i], "label": run.names(used.label[i])}
        for i, texts in zip(chosen, run.texts("train", used.row[chosen]), strict=True)
    ]
    return {"drawn": shown, "labels": labels}


def _examples(run: Run, order: Column) -> list[Example]:
    """The first of the validation examples in an order, with the two most likely labels if there are labels."""
    predicted, chosen = run.predicted["validation"], order[:EXAMPLES]
    found = []
    for i, texts in zip(chosen, run.texts("validation", predicted.row[chosen]), strict=True):
        label, prediction = (run.names(of[i]) for of in (predicted.label, predicted.prediction))
        example = {"texts": texts, "row": predicted.row[i], "label": label, "prediction": prediction}
        if predicted.probabilities is not None:
            chances = predicted.probabilities[i]
            most = np.argsort(-chances, kind="stable")[:2]
            example["likely"] = [(run.task.labels[index], chances[index]) for index in most]
        found.append(example)
    return found
