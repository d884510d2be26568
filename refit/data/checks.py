"""Problems of a data set that no loss curve shows: repeated texts, texts shared by splits, contradicting labels.

Each text (for pairs, both texts) becomes one 64-bit hash, which takes 16 bytes per row with the label. The probability
that any two different texts among a million share a hash is one in 37 million.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from refit.data import label_sets

FEW_ROWS = 30  # with fewer, the 95% interval of an accuracy is wider than 0.3
SHOWN = 60  # characters of an example
PAIR_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # so that (a, b) and (b, a) differ; odd, so that no bits are lost
Hashes = npt.NDArray[np.uint64]
RawRow = tuple[str, int]  # the split and the row in data/raw


@dataclass(frozen=True)
class HashedSplit:
    """The text hash and label (see label_sets.keys; None: hidden) of each row, and the number of empty texts."""

    hashes: Hashes
    labels: npt.NDArray[Any] | None
    empty: int


@dataclass(frozen=True)
class Checks:
    """The numbers of problematic rows.

    `repeated`: rows whose text an earlier row of the split has. `shared`: for two splits, rows of the second whose
    text is in the first. `contradicting_rows`: rows whose text also occurs with another label, in any labelled split.
    `contradictions`: examples of these texts, up to three rows of each.
    """

    rows: dict[str, int]
    empty: dict[str, int]
    repeated: dict[str, int]
    shared: dict[tuple[str, str], int]
    contradicting_texts: int
    contradicting_rows: int
    contradictions: list[list[RawRow]]


def hashed(batches: Iterable[pa.RecordBatch], *, labelled: bool) -> HashedSplit:
    """The hashes and labels of rows with the columns text, [text_pair,] label."""
    hashes, labels, empty = [], [], 0
    for batch in batches:
        values = _hash(batch.column("text"))
        if "text_pair" in batch.schema.names:
            values = values * PAIR_FACTOR + _hash(batch.column("text_pair"))
        hashes.append(values)
        labels.append(label_sets.keys(batch.column("label")))
        empty += pc.sum(pc.equal(batch.column("text"), "")).as_py() or 0
    return HashedSplit(np.concatenate(hashes), np.concatenate(labels) if labelled else None, empty)


def check(splits: Mapping[str, HashedSplit], examples: int) -> Checks:
    """Compare all rows with each other; the result shows at most `examples` contradicting texts."""
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

    `hidden` are the names of the splits whose labels are not known.
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
        example = _example(splits["train"], found.contradictions[0][0][1])
        yield f"{texts} in train with different labels, such as {example}"


def _example(table: pa.Table, row: int) -> str:
    columns = [name for name in ("text", "text_pair") if name in table.column_names]
    text = " | ".join(table[name][row].as_py() for name in columns)
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")


def _contradictions(splits: Mapping[str, HashedSplit], examples: int) -> tuple[int, int, list[list[RawRow]]]:
    """The numbers of texts and rows with more than one label, and rows of the first `examples` such texts."""
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
        kept.append([(names[s], int(place - limits[s])) for s, place in zip(of_split, shown, strict=True)])
    return len(starts), int((ends - starts).sum()), kept


def _hash(texts: pa.Array) -> Hashes:
    return np.fromiter(map(xxhash.xxh3_64_intdigest, texts.cast(pa.binary()).to_pylist()), np.uint64, len(texts))
