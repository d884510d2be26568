"""Warnings about rows that a run can use but should not trust: few, leaked and contradicting texts."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from refit.data import checks
from refit.download.splits import is_hidden

FEW_ROWS = 30  # with fewer, the 95% interval of an accuracy is wider than 0.3
SHOWN = 60  # characters of an example


def about_rows(splits: Mapping[str, pa.Table]) -> Iterator[str]:
    """Yield a line for each problem: too few rows to score, texts shared with train, texts with several labels."""
    hashed = {name: checks.hashed(table.to_batches(), labelled=name == "train") for name, table in splits.items()}
    for name, table in splits.items():
        if name == "train":
            continue
        if table.num_rows < FEW_ROWS and not is_hidden(table):
            yield f"rows of {name}: {table.num_rows}; scores on so few are mostly chance, use {FEW_ROWS} or more"
        shared = np.flatnonzero(np.isin(hashed[name].hashes, hashed["train"].hashes))
        if len(shared):
            yield (
                f"rows of {name} that repeat a text of train: {len(shared):,} of {table.num_rows:,}, such as "
                f"{_example(table, int(shared[0]))}; scores on them are inflated; remove them from one of the two files"
            )
    found = checks.check({"train": hashed["train"]}, examples=1)
    if found.contradicting_texts:
        row = found.contradictions[0][0].row
        texts = "1 text" if found.contradicting_texts == 1 else f"{found.contradicting_texts:,} texts"
        yield f"{texts} in train with different labels, such as {_example(splits['train'], row)}"


def _example(table: pa.Table, row: int) -> str:
    columns = [name for name in ("text", "text_pair") if name in table.column_names]
    text = " | ".join(table[name][row].as_py() for name in columns)
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")
