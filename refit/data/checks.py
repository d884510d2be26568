"""Problems of a data set that no loss curve shows: repeated texts, texts shared by splits, contradicting labels.

Each text (for pairs, both texts) becomes one 64-bit hash, so that memory is 16 bytes a row and 650,000 reviews are
checked in seconds. Two texts are the same if every byte is. Among a million rows the chance that two different texts
share a hash is one in 37 million.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from refit.data import parquet

BATCH_ROWS = 8_192
FEW_ROWS = 30  # with fewer, the 95% interval of an accuracy is wider than 0.3
SHOWN = 60  # characters of an example
PAIR_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no first text loses bits: (a, b) and (b, a) differ
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Split:
    """One split's rows: the hash of each one's text and its label (None where labels are hidden)."""

    hashes: Hashes
    labels: npt.NDArray[Any] | None
    empty: int


@dataclass(frozen=True)
class Place:
    """A row of data/raw."""

    split: str
    row: int


@dataclass(frozen=True)
class Checks:
    """What was found.

    repeated: rows of a split whose text an earlier row of it has. shared: for two splits, rows of the second whose
    text is in the first. contradicting_rows: rows whose text occurs with another label too, in any labelled split;
    contradictions: some of these texts, each as all places of up to three of its rows.
    """

    rows: dict[str, int]
    empty: dict[str, int]
    repeated: dict[str, int]
    shared: dict[tuple[str, str], int]
    contradicting_texts: int
    contradicting_rows: int
    contradictions: list[list[Place]]


def read(folder: Path, are_labelled: Mapping[str, bool]) -> dict[str, Split]:
    """The hashes and labels of data/raw's splits; the labels of those not in `are_labelled` as True are left out."""
    found = {}
    for name, labelled in are_labelled.items():
        with parquet.opened(folder / f"{name}.parquet") as file:
            found[name] = hashed(file.iter_batches(batch_size=BATCH_ROWS), labelled=labelled)
    return found


def hashed(batches: Iterable[pa.RecordBatch], *, labelled: bool) -> Split:
    """The hashes and labels of rows with the columns text, maybe text_pair, and label."""
    hashes, labels, empty = [], [], 0
    for batch in batches:
        values = _hash(batch.column("text"))
        if "text_pair" in batch.schema.names:
            values = values * PAIR_FACTOR + _hash(batch.column("text_pair"))
        hashes.append(values)
        labels.append(batch.column("label").to_numpy())
        empty += pc.sum(pc.equal(batch.column("text"), "")).as_py() or 0
    return Split(np.concatenate(hashes), np.concatenate(labels) if labelled else None, empty)


def check(splits: Mapping[str, Split], examples: int) -> Checks:
    """Compare all rows with each other; `examples` contradicting texts are kept."""
    texts, rows, kept = _contradictions(splits, examples)
    return Checks(
        rows={name: len(split.hashes) for name, split in splits.items()},
        empty={name: split.empty for name, split in splits.items()},
        repeated={name: len(split.hashes) - len(np.unique(split.hashes)) for name, split in splits.items()},
        shared={
            (first, second): int(np.isin(splits[second].hashes, splits[first].hashes).sum())
            for first, second in combinations(splits, 2)
        },
        contradicting_texts=texts,
        contradicting_rows=rows,
        contradictions=kept,
    )


def warnings(splits: Mapping[str, pa.Table], hidden: Iterable[str]) -> Iterator[str]:
    """A line for each problem: too few rows to score, texts shared with train, texts with several labels.

    `hidden` names the splits without known labels.
    """
    train = hashed(splits["train"].to_batches(), labelled=True)
    for name, table in splits.items():
        if name == "train":
            continue
        if table.num_rows < FEW_ROWS and name not in hidden:
            yield f"rows of {name}: {table.num_rows}; scores on so few are mostly chance, use {FEW_ROWS} or more"
        hashes = hashed(table.to_batches(), labelled=False).hashes
        shared = np.flatnonzero(np.isin(hashes, train.hashes))
        if len(shared):
            yield (
                f"rows of {name} that repeat a text of train: {len(shared):,} of {table.num_rows:,}, such as "
                f"{_example(table, int(shared[0]))}; scores on them are inflated; remove them from one of the two files"
            )
    found = check({"train": train}, examples=1)
    if found.contradicting_texts:
        texts = "1 text" if found.contradicting_texts == 1 else f"{found.contradicting_texts:,} texts"
        example = _example(splits["train"], found.contradictions[0][0].row)
        yield f"{texts} in train with different labels, such as {example}"


def _example(table: pa.Table, row: int) -> str:
    columns = [name for name in ("text", "text_pair") if name in table.column_names]
    text = " | ".join(table[name][row].as_py() for name in columns)
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")


def _contradictions(splits: Mapping[str, Split], examples: int) -> tuple[int, int, list[list[Place]]]:
    """(texts, rows, places of the first `examples` texts) that have more than one label."""
    labelled = {name: split for name, split in splits.items() if split.labels is not None}
    names = list(labelled)
    hashes = np.concatenate([labelled[name].hashes for name in names])
    labels = np.concatenate([np.asarray(labelled[name].labels) for name in names])
    sizes = [len(labelled[name].hashes) for name in names]
    order = np.lexsort((labels, hashes))
    starts = np.flatnonzero(np.diff(hashes[order], prepend=~hashes[order[:1]]))
    ends = np.append(starts[1:], len(order))
    differ = labels[order[starts]] != labels[order[ends - 1]]  # sorted by label: the ends are the extremes
    starts, ends = starts[differ], ends[differ]
    in_file_order = np.argsort([order[start:end].min() for start, end in zip(starts, ends, strict=True)])
    limits = np.cumsum([0, *sizes])
    kept = []
    for group in in_file_order[:examples]:
        places = order[starts[group] : ends[group]]
        shown = np.unique(np.array([places[0], *places[1:-1][:1], places[-1]]))
        of_split = np.searchsorted(limits, shown, side="right") - 1
        kept.append([Place(names[s], int(place - limits[s])) for s, place in zip(of_split, shown, strict=True)])
    return len(starts), int((ends - starts).sum()), kept


def _hash(texts: pa.Array) -> Hashes:
    return np.fromiter(map(xxhash.xxh3_64_intdigest, texts.cast(pa.binary()).to_pylist()), np.uint64, len(texts))
