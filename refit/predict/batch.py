"""Predict a file of texts into a parquet file, window by window, so that memory does not grow with the file.

Each window is sorted by length into batches, and its predictions are kept in .refit/predict until all are there: a run
that was killed resumes after its last complete window. The windows depend on the file alone, so it gives the same
numbers.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from refit import locking, paths, targets
from refit.data import parquet, row_files
from refit.errors import DataError, ParamsError
from refit.evaluation import decisions
from refit.predict.predictor import Predictor, Row
from refit.stage import bar
from refit.storage import files

WINDOW_ROWS = 16_384
WINDOW_CHARACTERS = 32_000_000
COLUMNS = ["row", "label", "probabilities"]  # the last for classes only


def write(predictor: Predictor, source: Path, out: Path, *, is_split: bool = False) -> int:
    """Predict every row of a file (csv, tsv, jsonl, parquet; text, [text_pair]); returns their number.

    All rows are checked first, unless the file is a split's in data/raw. Raises DataError naming the file, the line and
    what is wrong, UsageError for an `out` that is the user's.
    """
    target = targets.checked("--out", out, _is_ours, (".parquet",))
    total = pq.read_metadata(source).num_rows if is_split else _checked(predictor, source)
    model = predictor.model
    identity = {
        "file": files.sha256(source),
        "model": [files.sha256(path) for pattern in ("*.safetensors", "*.json")
                  for path in sorted(model.folder.glob(pattern))],
        "settings": [predictor.max_length, model.long_texts, model.settings.eval_batch_size, predictor.number],
        "windows": [WINDOW_ROWS, WINDOW_CHARACTERS],
    }  # fmt: skip
    with _parts(target, identity) as folder, bar(total=total, desc="predict") as progress:
        done = 0
        parts: list[Path] = []
        for window in windows(read(source, is_split=is_split)):
            parts.append(folder / f"{len(parts)}.parquet")
            if parts[-1].is_file():
                progress.update(len(window))
            else:
                table = predictions(predictor, predictor.logits(window, progress), first_row=done)
                with files.replaced_file(parts[-1]) as path:
                    pq.write_table(table, path, compression="zstd")
            done += len(window)
        schema = pq.read_schema(parts[0])
        with files.replaced_file(target) as path, pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for part in parts:
                writer.write_table(pq.read_table(part))
    return total


def _checked(predictor: Predictor, source: Path) -> int:
    """The number of rows of a user's file, all of which can be predicted."""
    if source.suffix not in row_files.FORMATS:
        raise ParamsError(f"--file {source}: need a file that ends in one of {', '.join(row_files.FORMATS)}")
    if not source.is_file():
        raise DataError(f"--file {source}: no such file")
    widths = [len(row) for row in read(source)]
    task = predictor.model.task
    if task is not None and task.is_pair != (widths[0] == 2):
        wanted = "pairs of texts; add the" if task.is_pair else "single texts; remove the"
        raise DataError(f"{source}: the model labels {wanted} column text_pair")
    return len(widths)


def labels(predictor: Predictor, source: Path) -> list[Any]:
    """The label names or values that are predicted for the file of a split in data/raw."""
    with bar(total=pq.read_metadata(source).num_rows, desc=f"predict {source.stem}") as progress:
        logits = np.concatenate([predictor.logits(window, progress) for window in windows(read(source, is_split=True))])
    return predictions(predictor, logits, first_row=0)["label"].to_pylist()  # type: ignore[no-any-return]


def predictions(predictor: Predictor, logits: npt.NDArray[np.float32], first_row: int) -> pa.Table:
    """The columns row (0 is the file's first), label, and for classes probabilities (float32, in the order of labels).

    The class names are in the table's metadata, as JSON under `labels`. The label of a regression is its value, that
    of a multi-label task the list of its labels.
    """
    types = {"regression": pa.float32(), "classification": pa.string(), "multi_label": pa.list_(pa.string())}
    columns = {
        "row": pa.array(np.arange(first_row, first_row + len(logits))),
        "label": pa.array(predictor.predictions(logits), types[predictor.problem_type]),
    }
    if predictor.problem_type != "regression":
        chances = decisions.probabilities(logits, predictor.problem_type)
        columns["probabilities"] = pa.FixedSizeListArray.from_arrays(pa.array(chances.ravel()), chances.shape[1])
    return pa.table(columns).replace_schema_metadata({"labels": json.dumps(predictor.labels, ensure_ascii=False)})


def read(source: Path, *, is_split: bool = False) -> Iterator[Row]:
    """The rows of a user's file, checked as own data are, or of a split in data/raw: QQP's test has empty texts."""
    if not is_split:
        yield from (tuple(cells.values()) for _, cells in row_files.read(source, ("text",), ("text_pair",)))
        return
    for batch in parquet.batches(source):
        columns = [batch.column(name) for name in ("text", "text_pair") if name in batch.schema.names]
        yield from zip(*(column.to_pylist() for column in columns), strict=True)


def windows(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows in runs of at most WINDOW_ROWS, fewer if texts are very long."""
    window: list[Row] = []
    characters = 0
    for row in rows:
        window.append(row)
        characters += sum(map(len, row))
        if len(window) == WINDOW_ROWS or characters >= WINDOW_CHARACTERS:
            yield window
            window, characters = [], 0
    if window:
        yield window


def _is_ours(path: Path) -> bool:
    """Whether a file has predictions as they are written here."""
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError):
        return False
    return b"labels" in (schema.metadata or {}) and schema.names in (COLUMNS, COLUMNS[:-1])


@contextmanager
def _parts(target: Path, identity: dict[str, Any]) -> Iterator[Path]:
    """The folder for the windows of `target`, locked; deleted at the end, or by a run with another identity."""
    of_target = paths.state_folder() / "predict" / digest(str(target))
    lock = paths.state_folder() / "locks" / f"predict-{of_target.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with locking.locked(lock, f"predict: another process is writing {target}; waiting for it"):
        folder = of_target / digest(identity)
        if folder.is_dir():
            print(f"predict: resuming with the complete windows in {folder}", file=sys.stderr)
        else:
            shutil.rmtree(of_target, ignore_errors=True)
            folder.mkdir(parents=True)
        yield folder
        shutil.rmtree(of_target)


def digest(value: Any) -> str:
    """A name for a value, to be used in a path."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
