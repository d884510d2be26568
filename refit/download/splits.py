"""What every source gives `download`: tables of text and label, and what is known of where they are from."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from refit.data import checks
from refit.data.task_record import ProblemType

HIDDEN = -1  # the label of a row whose true one is not published


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The rows of a task.

    Each table has the columns text (string), text_pair (string, pairs only) and label (int64 index into
    `labels`, HIDDEN where it is not known; float32 for regression). `revision` is what was really loaded;
    `files` maps each source file to its SHA-256.
    """

    splits: dict[str, pa.Table]
    labels: list[str]
    problem_type: ProblemType
    revision: str
    files: dict[str, str] = field(default_factory=dict)


def is_hidden(table: pa.Table) -> bool:
    """Whether no row's label is known; a regression's hidden label is -1.0 in every row."""
    return bool(np.all(table["label"].to_numpy() == HIDDEN))


def hold_out(table: pa.Table, wanted: int, seed: int, *, stratified: bool) -> tuple[pa.Table, pa.Table]:
    """Split a table into (rest, held out), both in the table's order; about `wanted` rows are held out.

    Rows with equal texts stay together. With `stratified`, labels are held out in proportion, and each keeps at least
    one text in the rest. The number of rows is exact unless repeated texts prevent it, and 0 if no text can be spared.
    The choice depends on `seed`, the labels and which texts are equal.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(table.num_rows)
    hashes = checks.hashed(table.to_batches(), labelled=False).hashes
    labels = table["label"].to_numpy() if stratified else np.zeros(table.num_rows)
    _, first, texts, sizes = np.unique(hashes[order], return_index=True, return_inverse=True, return_counts=True)
    _, kept, labels = np.unique(labels[order], return_index=True, return_inverse=True)
    can_be_held = np.ones(len(sizes), dtype=bool)
    can_be_held[texts[kept]] = False
    # Labels in random order; of each label the most repeated texts first, so that single ones make up the number.
    ranks = generator.permutation(len(kept))[labels[first]]
    candidates = np.lexsort((first, -sizes, ranks))
    candidates = candidates[can_be_held[candidates]]
    # Go through the candidates and take a text whenever the rows due so far, less those taken, round up to its rows.
    available = int(sizes[candidates].sum())
    held = np.zeros(len(sizes), dtype=bool)
    due = 0  # in rows times `available`, to stay exact
    for text, size in zip(candidates.tolist(), sizes[candidates].tolist(), strict=True):
        due += wanted * size
        if 2 * due >= size * available:
            held[text] = True
            due -= size * available
    if not held.any():
        held[candidates[-1:]] = True
    chosen = np.zeros(table.num_rows, dtype=bool)
    chosen[order] = held[texts]
    return table.filter(pa.array(~chosen)), table.filter(pa.array(chosen))
