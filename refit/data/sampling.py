"""The sample stage: which rows of a split are used, and in which order.

Plain sampling picks exactly the rows of `Dataset.shuffle(seed).select(range(n))`, in that order, so that a run here
and a notebook see the same rows; `all` keeps every row in the order of the file.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from refit.data import checks
from refit.errors import ParamsError
from refit.params import Sample
from refit.stage import bar
from refit.storage import arrow, files, manifest

Indices = npt.NDArray[np.int64]


def write(params: Sample, tokenized: Path, target: Path) -> dict[str, Any]:
    """Write the sampled rows of every split of `tokenized` into `target`; returns the rows written.

    Where more rows are asked for than there are, all are used. Memory grows by 16 bytes a row of a split.
    Raises DiskError before any work when there is no room.
    """
    recorded = manifest.read(tokenized)
    files.need_space(target.parent, _bytes(params, recorded), "sampling")
    figures = {}
    with files.replaced_folder(target) as folder:
        for name in recorded:
            batches = arrow.open_batches(tokenized / name)
            order = _chosen(params, name, _labels(batches))
            with pa.ipc.new_stream(str(folder / name), batches[0].schema) as stream:
                for batch in bar(_gather(batches, order), desc=f"sample {name}", unit="batches"):
                    stream.write_batch(batch)
            figures[name] = {"rows": len(order)}
        manifest.write(folder, figures)
    return {"rows": sum(of_file["rows"] for of_file in figures.values())}


def _chosen(params: Sample, name: str, labels: npt.NDArray[Any]) -> Indices:
    """The indices of the rows of a split's file to use, with a warning where they are fewer than wanted or too few."""
    key, count, seed = _wanted(params, name)
    if params.stratify and labels.dtype.kind == "f":
        raise ParamsError(
            "params.yaml stratify: got true, but this task is a regression, which has no classes; need false"
        )
    if count != "all" and count > len(labels):
        split = name.removesuffix(".arrow")
        _warn(f"params.yaml {key} is {count}, more than {split} has: using all its rows ({len(labels)})")
        count = "all"
    order = choose(len(labels), count, seed, labels if params.stratify else None)
    if count != "all":
        _warn_of_few(key, count, labels, order)
    return order


def choose(rows: int, count: int | Literal["all"], seed: int, labels: npt.NDArray[Any] | None = None) -> Indices:
    """The indices of the chosen rows, in order.

    With `labels` (one a row, classes only) every label keeps its share: each gets its part of `count` rounded down,
    and the rows left over go to the largest remainders.
    """
    if count == "all":
        return np.arange(rows, dtype=np.int64)
    permutation = np.random.default_rng(seed).permutation(rows)
    if labels is None:
        return permutation[:count]
    classes, sizes = np.unique(labels, return_counts=True)
    exact = sizes * count / rows
    quota = np.floor(exact).astype(int)
    largest = np.argsort(-(exact - quota), kind="stable")
    quota[largest[: count - int(quota.sum())]] += 1
    permuted = labels[permutation]
    taken = np.zeros(rows, dtype=bool)
    for label, most in zip(classes, quota, strict=True):
        taken[np.flatnonzero(permuted == label)[:most]] = True
    return permutation[taken]


def _bytes(params: Sample, recorded: dict[str, dict[str, Any]]) -> int:
    """About how much will be written: each file's share of its rows."""
    total = 0.0
    for name, entry in recorded.items():
        _, count, _ = _wanted(params, name)
        share = 1.0 if count == "all" else min(1.0, count / max(1, entry["rows"]))
        total += entry["bytes"] * share
    return int(total)


def _wanted(params: Sample, name: str) -> tuple[str, int | Literal["all"], int]:
    """The params.yaml key, its value and the seed for a split's file."""
    if name.startswith("train"):
        return "train_rows", params.train_rows, params.sample_seed
    if name.startswith("validation"):
        return "eval_rows", params.eval_rows, params.sample_seed
    return "test_rows", params.test_rows, params.test_sample_seed


def _labels(batches: list[pa.RecordBatch]) -> npt.NDArray[Any]:
    return np.concatenate([batch.column("label").to_numpy() for batch in batches])


def _warn_of_few(key: str, count: int, labels: npt.NDArray[Any], order: Indices) -> None:
    """Name a sample that is too small for a score, and one that lacks classes to learn."""
    if key != "train_rows":
        if count < checks.FEW_ROWS:
            _warn(f"params.yaml {key} is {count}: scores on so few are mostly chance; use {checks.FEW_ROWS} or more")
    elif labels.dtype.kind != "f":
        sampled, known = len(np.unique(labels[order])), len(np.unique(labels))
        if sampled < known:
            _warn(f"params.yaml {key} is {count}: these rows have {sampled} of the {known} labels; use more rows")


def _warn(text: str) -> None:
    print(f"sample: {text}", file=sys.stderr)


def _gather(batches: list[pa.RecordBatch], order: Indices) -> Iterator[pa.RecordBatch]:
    """The rows of `order`, in batches.

    Rows are taken from one source batch at a time, so that the memory map is read in place and only the rows of one
    output batch are copied.
    """
    starts = np.cumsum([0, *(batch.num_rows for batch in batches)])
    for begin in range(0, len(order), arrow.BATCH_ROWS):
        wanted = order[begin : begin + arrow.BATCH_ROWS]
        by_position = np.argsort(wanted, kind="stable")
        positions = wanted[by_position]
        sources = np.searchsorted(starts, positions, side="right") - 1
        pieces = [batches[s].take(pa.array(positions[sources == s] - starts[s])) for s in np.unique(sources)]
        back = np.empty(len(wanted), dtype=np.int64)
        back[by_position] = np.arange(len(wanted))
        yield pa.Table.from_batches(pieces).combine_chunks().take(pa.array(back)).combine_chunks().to_batches()[0]
