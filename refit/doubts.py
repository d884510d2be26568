"""Warnings about rows that a run can use but should not trust: leaked and contradicting texts."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from refit import data_checks

SHOWN = 60  # characters of an example


def about_rows(splits: Mapping[str, pa.Table]) -> Iterator[str]:
    """A line for each split that shares texts with train, and for texts of train with several labels."""
    hashed = {name: data_checks.hashed(table.to_batches(), labelled=name == "train") for name, table in splits.items()}
    for name, table in splits.items():
        if name == "train":
            continue
        shared = np.flatnonzero(np.isin(hashed[name].hashes, hashed["train"].hashes))
        if len(shared):
            yield (
                f"{len(shared):,} of {table.num_rows:,} rows of {name} have a text that train has too, like "
                f"{_example(table, int(shared[0]))}; scores on them are too good"
            )
    found = data_checks.check({"train": hashed["train"]}, examples=1)
    if found.contradicting_texts:
        row = found.contradictions[0][0].row
        yield (
            f"{found.contradicting_texts:,} texts of train have several labels, like {_example(splits['train'], row)}"
        )


def _example(table: pa.Table, row: int) -> str:
    columns = [name for name in ("text", "text_pair") if name in table.column_names]
    text = " | ".join(table[name][row].as_py() for name in columns)
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")
