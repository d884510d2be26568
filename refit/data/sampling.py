"""The sample stage: choose the examples of each split that a run uses, and their order.

Plain sampling picks the rows of `Dataset.shuffle(seed).select(range(n))` in the same order, as a notebook does; `all`
keeps every row in the order of the file.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from refit.errors import ParamsError
from refit.params import Sample
from refit.stage import bar
from refit.storage import arrow, files, manifest
from refit.tokenization.token_batch import places

Indices = npt.NDArray[np.int64]
Count = int | Literal["all"]


def write(params: Sample, tokenized: Path, target: Path) -> dict[str, Any]:
    """Write the sampled texts of every split of `tokenized` to `target`; returns the number of texts.

    The windows of a text stay together. If a split has fewer texts than wanted, all are used. Raises DataError for
    damaged files, ParamsError for `stratify` without classes, and DiskError, before any work, without room.
    """
    recorded = manifest.read(tokenized)
    files.need_space(target.parent, _bytes(params, recorded), "sampling")
    figures = {}
    with files.replaced_folder(target) as folder:
        for name in recorded:
            batches = arrow.open_batches(tokenized / name)
            labels = arrow.labels(batches)
            if len(labels) == recorded[name]["rows"]:
                order = chosen = _chosen(params, name, labels)
            else:  # texts in windows
                starts = arrow.Rows.of_batches(batches).text_starts()
                chosen = _chosen(params, name, labels[starts])
                order = places(starts[chosen], np.diff(starts, append=len(labels))[chosen])
            with pa.ipc.new_stream(str(folder / name), batches[0].schema) as stream:
                for batch in bar(_gather(batches, order), desc=f"sample {name}", unit="batches"):
                    stream.write_batch(batch)
            figures[name] = {"rows": len(chosen)}
        manifest.write(folder, figures)
    return {"rows": sum(of_file["rows"] for of_file in figures.values())}


def choose(rows: int, count: Count, seed: int, labels: npt.NDArray[Any] | None = None) -> Indices:
    """The indices of the chosen rows, in order.

    With `labels` (the class of each row) the sample is stratified: each class gets its fraction of `count`, rounded
    down, and the remaining rows go to the classes with the largest remainders.
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


def _chosen(params: Sample, name: str, labels: npt.NDArray[Any]) -> Indices:
    """The indices of the rows to use of a split's file; warns if they lack labels to train on."""
    key, count, seed = _wanted(params, name)
    is_regression = labels.dtype.kind == "f"
    if params.stratify and (is_regression or labels.ndim == 2):
        raise ParamsError("params.yaml stratify: got true, but regression and multi-label have no classes; need false")
    if count != "all" and count > len(labels):
        has = f"more than {name.removesuffix('.arrow')} has: using all its rows ({len(labels)})"
        print(f"sample: params.yaml {key} is {count}, {has}", file=sys.stderr)
        count = "all"
    order = choose(len(labels), count, seed, labels if params.stratify else None)
    if count == "all":
        return order
    if key == "train_rows" and not is_regression:
        sampled, known = (_classes(of) for of in (labels[order], labels))
        if sampled < known:
            has = f"these rows have {sampled} of the {known} labels; use more rows"
            print(f"sample: params.yaml {key} is {count}: {has}", file=sys.stderr)
    return order


def _classes(labels: npt.NDArray[Any]) -> int:
    return int(labels.any(axis=0).sum()) if labels.ndim == 2 else len(np.unique(labels))


def _wanted(params: Sample, name: str) -> tuple[str, Count, int]:
    """The params.yaml key, its value and the seed for a split's file."""
    if name.startswith("train"):
        return "train_rows", params.train_rows, params.sample_seed
    if name.startswith("validation"):
        return "eval_rows", params.eval_rows, params.sample_seed
    return "test_rows", params.test_rows, params.test_sample_seed


def _bytes(params: Sample, recorded: dict[str, dict[str, Any]]) -> int:
    """Estimate the size of the output: of each file the fraction of its rows that is kept."""
    total = 0.0
    for name, entry in recorded.items():
        _, count, _ = _wanted(params, name)
        total += entry["bytes"] * (1.0 if count == "all" else min(1.0, count / max(1, entry["rows"])))
    return int(total)


def _gather(batches: list[pa.RecordBatch], order: Indices) -> Iterator[pa.RecordBatch]:
    """The rows of `order`, in batches. `Table.take` would copy the complete table for each of them."""
    starts = np.cumsum([0, *(batch.num_rows for batch in batches)])
    for begin in range(0, len(order), arrow.BATCH_ROWS):
        wanted = order[begin : begin + arrow.BATCH_ROWS]
        in_file_order = np.argsort(wanted, kind="stable")
        rows = wanted[in_file_order]
        sources = np.searchsorted(starts, rows, side="right") - 1
        pieces = [batches[s].take(pa.array(rows[sources == s] - starts[s])) for s in np.unique(sources)]
        yield pa.concat_batches(pieces).take(pa.array(np.argsort(in_file_order)))
