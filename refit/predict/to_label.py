"""The rows that a model is least sure of, as Label Studio's tasks: texts to label, with the model's predictions.

Label Studio's Import button reads a JSON array (.json), its source storages one task a line as well (.jsonl).
"""

import heapq
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from refit import paths, targets
from refit.data import parquet
from refit.errors import ParamsError
from refit.predict import batch
from refit.predict.predictor import Predictor, Row
from refit.storage import files

MADE_BY = '{"predictions": [{"model_version": "refit: '  # how the first task begins


def write(predictor: Predictor, source: Path, most: int, out: Path, *, is_split: bool = False) -> int:
    """Write a task for each of the `most` rows of a file that the model is least sure of; returns their number.

    The file is predicted as by `batch.write`: memory does not grow with it, a killed run resumes. Raises ParamsError
    for a regression, UsageError for an `out` that is the user's.
    """
    if predictor.problem_type == "regression":
        raise ParamsError("--most-uncertain: the model predicts a number without probabilities; need one with labels")
    target = targets.checked("--out", out, _is_ours, (".json", ".jsonl"))
    predicted = paths.state_folder() / "to_label" / f"{batch.digest(str(target))}.parquet"
    try:
        batch.write(predictor, source, predicted, is_split=is_split)
        rows = zip(batch.read(source, is_split=is_split), _predicted(predictor, predicted), strict=True)
        chosen = heapq.nsmallest(most, rows, key=lambda of_row: of_row[1][1])
    finally:
        predicted.unlink(missing_ok=True)
    lines = [task(texts, label, sure, predictor.model.name) for texts, (label, sure) in chosen]
    text = "\n".join(lines) if out.suffix == ".jsonl" else "[\n" + ",\n".join(lines) + "\n]"
    files.write_text(target, text + "\n")
    return len(lines)


def _predicted(predictor: Predictor, path: Path) -> Iterator[tuple[Any, float]]:
    """The label and the highest probability of each row, the score by which Label Studio sorts.

    It is 1 - the probability of a wrong label if the model is calibrated. Multi-label: the same for the label of the
    row that the model is least sure to be there, or not to be there.
    """
    for part in parquet.batches(path):
        chances = np.array(part.column("probabilities").to_pylist())
        is_multi_label = predictor.problem_type == "multi_label"
        sure = np.maximum(chances, 1 - chances).min(axis=1) if is_multi_label else chances.max(axis=1)
        yield from zip(part.column("label").to_pylist(), sure.tolist(), strict=True)


def task(texts: Row, label: Any, probability: float, model: str) -> str:
    """A task of Label Studio as a line of JSON, for a labelling config with a Text `text` and Choices `label`."""
    value = {
        "from_name": "label",
        "to_name": "text",
        "type": "choices",
        "value": {"choices": label if isinstance(label, list) else [label]},
    }
    prediction = {"model_version": f"refit: {model}", "score": probability, "result": [value]}
    data = dict(zip(("text", "text_pair"), texts, strict=False))
    return json.dumps({"predictions": [prediction], "data": data}, ensure_ascii=False)


def _is_ours(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(len(MADE_BY) + 2).removeprefix("[\n").startswith(MADE_BY)
