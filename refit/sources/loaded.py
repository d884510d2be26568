"""What every source gives `download`: tables of text and label, and what is known of where they are from."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from refit.tasks import ProblemType

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


def hold_out(table: pa.Table, share: float, seed: int, *, stratified: bool) -> tuple[pa.Table, pa.Table]:
    """Split (rest, held out): `share` of the rows, at least one; each label in its proportion when `stratified`.

    Both keep the order of `table`. The choice depends on `seed` and the labels alone.
    """
    generator = np.random.default_rng(seed)
    rows = table.num_rows
    order = generator.permutation(rows)
    if stratified:
        labels = table["label"].to_numpy()
        groups = [order[labels[order] == label] for label in np.unique(labels)]
    else:
        groups = [order]
    chosen = np.zeros(rows, dtype=bool)
    for group in groups:
        chosen[group[: round(len(group) * share)]] = True
    if not chosen.any():
        chosen[order[0]] = True
    return table.filter(pa.array(~chosen)), table.filter(pa.array(chosen))
