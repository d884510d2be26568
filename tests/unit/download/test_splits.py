"""Holding examples out: none lost, none in both splits, as many as wanted, every label in proportion."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refit.download.splits import hold_out


def rows_of(texts: list[int], labels: list[int]) -> pa.Table:
    """A table of the given texts and labels, each row with its number."""
    return pa.table(
        {"text": [str(text) for text in texts], "label": pa.array(labels, pa.int64()), "row": np.arange(len(texts))}
    )


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), min_size=1, max_size=200), st.data())
def test_rows_are_held_out_without_leaks_or_losses(rows: list[tuple[int, int]], data: st.DataObject) -> None:
    """Prevents lost rows, a text that is in both splits, and a label that cannot be learnt."""
    wanted, seed = data.draw(st.integers(1, len(rows))), data.draw(st.integers(0, 99))
    stratified = data.draw(st.booleans())
    table = rows_of([text for text, _ in rows], [label for _, label in rows])
    rest, held = hold_out(table, wanted, seed, stratified=stratified)
    kept, out = rest["row"].to_pylist(), held["row"].to_pylist()
    assert sorted(kept + out) == list(range(len(rows)))
    assert (kept, out) == (sorted(kept), sorted(out))
    assert not set(rest["text"].to_pylist()) & set(held["text"].to_pylist())
    assert rest.num_rows >= 1
    if stratified:
        assert set(rest["label"].to_pylist()) == {label for _, label in rows}
    assert hold_out(table, wanted, seed, stratified=stratified)[1].equals(held)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=200), st.data())
def test_as_many_rows_are_held_out_as_asked_for(labels: list[int], data: st.DataObject) -> None:
    """Prevents a held-out split that is too small, or has another share of a label than train."""
    wanted, seed = data.draw(st.integers(1, len(labels))), data.draw(st.integers(0, 99))
    spare = len(labels) - len(set(labels))
    _, held = hold_out(rows_of(list(range(len(labels))), labels), wanted, seed, stratified=True)
    assert held.num_rows == min(wanted, spare)
    for label in set(labels) if spare else ():
        exact = (labels.count(label) - 1) * min(wanted, spare) / spare
        assert abs(held["label"].to_pylist().count(label) - exact) <= 1


@pytest.mark.parametrize(
    ("text_of", "label_of"),
    [
        (lambda row: row, lambda row: row // 4),
        (lambda row: row // 2, lambda row: row // 4),
        (lambda row: max(row, 800), lambda row: row % 2),
    ],
    ids=["labels of four rows", "and each text twice", "a text in 801 of 2,000 rows"],
)
def test_rare_labels_and_repeated_texts_do_not_change_the_size(
    text_of: Callable[[int], int], label_of: Callable[[int], int]
) -> None:
    """Prevents one validation row out of 2,000, and a split that is mostly one text."""
    table = rows_of([text_of(row) for row in range(2_000)], [label_of(row) for row in range(2_000)])
    held = hold_out(table, 200, 1, stratified=True)[1]
    assert held.num_rows == 200
    assert len(set(held["text"].to_pylist())) >= 100
