"""Warnings about data that a run can use but should not trust: leaked, contradicting and cut texts."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

HEAVY_TRUNCATION = 0.1  # share of rows
SHOWN = 60  # characters of an example


def about_rows(splits: Mapping[str, pa.Table]) -> Iterator[str]:
    """A line for each split that shares texts with train, and for texts of train with several labels."""
    train = list(_keys(splits["train"]))
    known = set(train)
    for split, table in splits.items():
        if split == "train":
            continue
        shared = [key for key in _keys(table) if key in known]
        if shared:
            yield (
                f"{len(shared):,} of {table.num_rows:,} rows of {split} have a text that train has too, like "
                f"{_example(shared[0])}; scores on them are too good"
            )
    labels: dict[tuple[str, ...], Any] = {}
    contradicting: dict[tuple[str, ...], None] = {}
    for key, label in zip(train, splits["train"]["label"].to_pylist(), strict=True):
        if labels.setdefault(key, label) != label:
            contradicting[key] = None
    if contradicting:
        yield f"{len(contradicting):,} texts of train have several labels, like {_example(next(iter(contradicting)))}"


def about_lengths(figures: Mapping[str, Mapping[str, int]], max_length: int) -> Iterator[str]:
    """A line for each split that loses the end of many texts; `figures` is what tokenize counted, by file."""
    for name, of_file in figures.items():
        rows, full = of_file["rows"], of_file["at_max_length"]
        if full > rows * HEAVY_TRUNCATION:
            yield (
                f"{full:,} of {rows:,} rows of {name.removesuffix('.arrow')} ({full / rows:.0%}) fill max_length "
                f"{max_length} and are cut there if longer; raise max_length to keep them whole"
            )


def _keys(table: pa.Table) -> Iterator[tuple[str, ...]]:
    names = [name for name in ("text", "text_pair") if name in table.column_names]
    return zip(*(table[name].to_pylist() for name in names), strict=True)


def _example(key: tuple[str, ...]) -> str:
    text = " | ".join(key)
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")
