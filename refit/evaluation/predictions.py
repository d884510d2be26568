"""The predictions of a run as columns of a parquet file: split, row (in data/raw), label, prediction[, probabilities].

`label` and `prediction` are label ids, values of a regression, or lists of label ids of a multi-label task.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from refit.data import label_sets, parquet
from refit.evaluation import decisions
from refit.evaluation.metrics import Labels


def table(
    split: str, rows: Labels, labels: Labels, predictions: Labels, chances: npt.NDArray[np.float32] | None
) -> pa.Table:
    """The table of one split; `chances` are the probabilities (rows, labels), None for a regression."""
    is_multi_label = labels.ndim == 2
    columns = {
        "split": pa.array([split] * len(rows)),
        "row": pa.array(rows),
        "label": label_sets.lists(labels) if is_multi_label else pa.array(labels),
        "prediction": label_sets.lists(predictions > 0) if is_multi_label else pa.array(predictions),
    }
    if chances is not None:
        columns["probabilities"] = pa.FixedSizeListArray.from_arrays(pa.array(chances.ravel()), chances.shape[1])
    return pa.table(columns)


def read(path: Path, splits: Iterable[str]) -> dict[str, pa.Table]:
    """The table of each of the splits. Raises DataError if the file is missing or damaged."""
    with parquet.opened(path) as file:
        everything = file.read()
    return {split: everything.filter(pc.equal(everything["split"], split)) for split in splits}


def probabilities(of_split: pa.Table) -> npt.NDArray[np.float32]:
    """The probabilities (rows, labels) of a table that has them."""
    flat = of_split["probabilities"].combine_chunks().flatten().to_numpy()
    found: npt.NDArray[np.float32] = flat.reshape(of_split.num_rows, -1)
    return found


def arrays(of_split: pa.Table) -> tuple[Labels, Labels]:
    """The labels and predictions of a table as refit/evaluation/metrics.py takes them."""
    if not pa.types.is_list(of_split.schema.field("label").type):
        return of_split["label"].to_numpy(), of_split["prediction"].to_numpy()
    chances = probabilities(of_split)
    labels, predicted = (
        label_sets.matrix(of_split[name].combine_chunks(), chances.shape[1]) for name in ("label", "prediction")
    )
    return labels, decisions.ranked(chances, predicted > 0)
