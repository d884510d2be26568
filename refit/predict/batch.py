"""A file of texts in, a parquet file of answers out: in windows of rows, so that memory does not grow with the file.

Each window is sorted by length into batches, and its answers are a part file beside the out until all are there. A run
that is killed goes on after the last whole part. The windows depend on the file alone, so a run that was killed
and one that was not give the same numbers.
"""

import fcntl
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from refit import targets
from refit.data import parquet, row_files
from refit.errors import DataError, ParamsError, UsageError
from refit.evaluation import metrics
from refit.model import inference
from refit.predict.predictor import Predictor
from refit.stage import bar
from refit.storage import files

WINDOW_ROWS = 16_384
WINDOW_CHARACTERS = 32_000_000
STATE = "state.json"
IDENTITY = {"file", "model", "settings", "window"}
PART = re.compile(r"\d{6}\.parquet|state\.json|\.lock|\..+\.\d+\.tmp")
COLUMNS = ["row", "label", "probabilities"]  # the last for classes only

Window = tuple[list[str], list[str] | None]


def write(predictor: Predictor, model: Path, source: Path, target: Path, *, is_pair: bool | None) -> int:
    """Predict every row of a user's file (csv, tsv, jsonl, parquet; text, [text_pair]); returns their number.

    `is_pair` is what the model was trained on, None where that is not known. Every row is checked before the first is
    predicted. Raises DataError naming the file, the line and what is wrong.
    """
    target = checked_out(target)
    if source.suffix not in row_files.FORMATS:
        raise ParamsError(f"--file {source}: need a file that ends in one of {', '.join(row_files.FORMATS)}")
    if not source.is_file():
        raise DataError(f"--file {source}: no such file")
    total = sum(1 for _ in rows(source))
    has_pair = next(rows(source))[1] is not None
    if is_pair is not None and has_pair != is_pair:
        raise DataError(
            f"{source}: has {'a' if has_pair else 'no'} column text_pair, and the model labels "
            f"{'pairs of texts' if is_pair else 'single texts'}; {'add' if is_pair else 'remove'} it"
        )
    return _write(predictor, model, source, windows(rows(source)), total, target)


def write_raw(predictor: Predictor, model: Path, source: Path, target: Path) -> int:
    """As `write`, for a split in data/raw."""
    target = checked_out(target)
    return _write(predictor, model, source, windows(raw_rows(source)), pq.read_metadata(source).num_rows, target)


def _write(predictor: Predictor, model: Path, source: Path, given: Iterator[Window], total: int, target: Path) -> int:
    identity = {
        "file": files.sha256(source),
        "model": {name: files.sha256(model / name) for name in _model_files(model)},
        "settings": [predictor.max_length, predictor.settings.batch_size, predictor.number],
        "window": [WINDOW_ROWS, WINDOW_CHARACTERS],
    }
    with _parts(target, identity) as folder, bar(total=total, desc="predict") as progress:
        done = 0
        for number, (texts, pairs) in enumerate(given):
            part = folder / f"{number:06}.parquet"
            if part.is_file():
                progress.update(len(texts))
            else:
                table = answers(predictor, predictor.logits(texts, pairs, progress), first_row=done)
                with files.replaced_file(part) as whole:
                    pq.write_table(table, whole, compression="zstd")
            done += len(texts)
        checked_out(target)  # hours may have passed
        _join(sorted(folder.glob("*.parquet")), target)
        shutil.rmtree(folder)
    return done


def answers(predictor: Predictor, logits: npt.NDArray[np.float32], first_row: int) -> pa.Table:
    """Row (0 is the file's first), label, and for classes probabilities (float32 each, in the order of `labels`).

    The names of the labels are in the table's metadata, as JSON under `labels`. A regression's label is its value.
    """
    predictions = metrics.predictions_of(logits, is_regression=predictor.is_regression)
    columns = {"row": pa.array(np.arange(first_row, first_row + len(logits)))}
    if predictor.is_regression:
        columns["label"] = pa.array(predictions)
    else:
        chances = inference.probabilities(logits)
        columns["label"] = pa.array([predictor.labels[index] for index in predictions], pa.string())
        columns["probabilities"] = pa.FixedSizeListArray.from_arrays(pa.array(chances.ravel()), chances.shape[1])
    return pa.table(columns).replace_schema_metadata({"labels": json.dumps(predictor.labels, ensure_ascii=False)})


def rows(source: Path) -> Iterator[tuple[str, str | None]]:
    """(text, text_pair or None) of each row, checked as the rows of own files are."""
    for _, row in row_files.read(source, ("text",), ("text_pair",)):
        yield row["text"], row.get("text_pair")


def raw_rows(source: Path) -> Iterator[tuple[str, str | None]]:
    """(text, text_pair or None) of each row of a split in data/raw, as it is there."""
    for batch in parquet.batches(source):
        texts = batch.column("text").to_pylist()
        pairs = batch.column("text_pair").to_pylist() if "text_pair" in batch.schema.names else [None] * len(texts)
        yield from zip(texts, pairs, strict=True)


def windows(given: Iterator[tuple[str, str | None]]) -> Iterator[Window]:
    """The rows in runs of at most WINDOW_ROWS, shorter where texts are very long."""
    window: list[tuple[str, str | None]] = []
    characters = 0
    for row in given:
        window.append(row)
        characters += len(row[0]) + len(row[1] or "")
        if len(window) == WINDOW_ROWS or characters >= WINDOW_CHARACTERS:
            yield _columns(window)
            window, characters = [], 0
    if window:
        yield _columns(window)


def checked_out(given: Path) -> Path:
    """The parquet file that --out names. Raises UsageError where it, or the folder of its parts, is the user's."""
    if given.suffix != ".parquet":
        raise UsageError(f"--out {given}: need a name that ends in .parquet")
    target = targets.checked("--out", given, _is_ours)
    parts = _parts_of(target)
    if os.path.lexists(parts) and not (parts.is_dir() and _are_ours(parts)):
        raise UsageError(f"--out {given}: {parts} exists, and refit did not make it; choose another name")
    return target


def _is_ours(path: Path) -> bool:
    """Whether a file holds predictions as they are written here."""
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError):
        return False
    return b"labels" in (schema.metadata or {}) and schema.names in (COLUMNS, COLUMNS[:-1])


def _are_ours(folder: Path) -> bool:
    """Whether a folder holds the parts of a run, which may have been killed at any time, and nothing else."""
    names = [path.name for path in folder.iterdir()]
    if STATE not in names:
        return all(name == ".lock" or name.startswith(f".{STATE}.") for name in names)
    try:
        return set(files.read_json(folder / STATE)) == IDENTITY and all(map(PART.fullmatch, names))
    except (ValueError, TypeError):
        return False


def _parts_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.parts")


def _columns(window: list[tuple[str, str | None]]) -> Window:
    texts = [text for text, _ in window]
    pairs = [pair for _, pair in window if pair is not None]
    return texts, pairs or None


@contextmanager
def _parts(target: Path, identity: dict[str, Any]) -> Iterator[Path]:
    """The folder of the parts of `target`, emptied if they are of another run, held by this process alone."""
    folder = _parts_of(target)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ParamsError(f"--out {target}: another process is writing it; wait for it or name another") from None
        state = json.loads(json.dumps(identity))
        known = files.read_json(folder / STATE) if (folder / STATE).is_file() else None
        if known != state:
            for part in folder.glob("*.parquet"):
                part.unlink()
            files.write_json(folder / STATE, state)
        elif any(folder.glob("*.parquet")):
            print(f"predict: goes on with {folder}", file=sys.stderr)
        yield folder


def _join(parts: list[Path], target: Path) -> None:
    """One file of all parts, a row group each, put in place when it is whole."""
    schema = pq.read_schema(parts[0])
    with files.replaced_file(target) as whole, pq.ParquetWriter(whole, schema, compression="zstd") as writer:
        for part in parts:
            writer.write_table(pq.read_table(part))


def _model_files(model: Path) -> list[str]:
    return sorted(path.name for path in model.iterdir() if path.suffix in (".safetensors", ".json"))
