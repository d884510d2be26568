"""The examples of a task as every source returns them, and holding some of them out for validation or test."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from refit.data import checks
from refit.data.task_record import ProblemType

HIDDEN = -1  # the label of an example whose true label is not published


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The examples of a task, a table for each split.

    The columns are text (string), text_pair (string, for pairs only) and label (int64 index into `labels`, HIDDEN if
    it is not published; float32 for a regression). Where `split_by` names it, group (string) or time is the last
    column, until all splits are there. `revision` is the commit or version that was loaded, `files` the SHA-256 of each
    source file. `human` is what people score on the task, if that is known: who → score → value.
    """

    splits: dict[str, pa.Table]
    labels: list[str]
    problem_type: ProblemType
    revision: str
    files: dict[str, str] = field(default_factory=dict)
    human: dict[str, dict[str, float]] = field(default_factory=dict)


def is_hidden(table: pa.Table) -> bool:
    """Whether all labels are hidden; the hidden label of a regression is -1.0."""
    return bool(np.all(table["label"].to_numpy() == HIDDEN))


def hold_out(table: pa.Table, wanted: int, seed: int, *, stratified: bool) -> tuple[pa.Table, pa.Table]:
    """Split a table into (rest, held out), both in the table's order, with about `wanted` rows held out.

    Rows with the same text stay together. With `stratified`, labels are held out in proportion, and each keeps at least
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
    # Labels in random order; of each label the most repeated texts first, so that unique texts fill up the number.
    ranks = generator.permutation(len(kept))[labels[first]]
    candidates = np.lexsort((first, -sizes, ranks))
    candidates = candidates[can_be_held[candidates]]
    # Take a candidate whenever the rows due so far, less those taken, round up to its number of rows.
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
    return divided(table, chosen)


def divided(table: pa.Table, chosen: npt.NDArray[np.bool_]) -> tuple[pa.Table, pa.Table]:
    """The other rows and the chosen rows, both in the table's order."""
    return table.filter(pa.array(~chosen)), table.filter(pa.array(chosen))
