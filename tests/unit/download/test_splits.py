"""Dividing rows by chance, by groups, by time and into folds: no text or group in two parts, labels in proportion."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refit.download import splits
from refit.errors import DataError


def rows_of(
    texts: list[int], labels: list[int], groups: list[int] | None = None, *, stratified: bool = True
) -> pa.Table:
    """A table of the given texts, labels (classes, or numbers of a regression) and groups, each row with its number."""
    label_type = pa.int64() if stratified else pa.float32()
    columns = {"text": list(map(str, texts)), "label": pa.array(labels, label_type), "row": np.arange(len(texts))}
    return pa.table(columns | ({} if groups is None else {"group": list(map(str, groups))}))


def hold_out(table: pa.Table, wanted: int, seed: int) -> tuple[pa.Table, pa.Table]:
    """The rest and the rows that are held out by chance."""
    return splits.divided(table, splits.at_random(table, wanted, seed))


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), min_size=1, max_size=200), st.data())
def test_rows_are_held_out_without_leaks_or_losses(rows: list[tuple[int, int]], data: st.DataObject) -> None:
    """Prevents lost rows, a text that is in both splits, and a label that cannot be learnt."""
    wanted, seed = data.draw(st.integers(1, len(rows))), data.draw(st.integers(0, 99))
    stratified = data.draw(st.booleans())
    table = rows_of([text for text, _ in rows], [label for _, label in rows], stratified=stratified)
    rest, held = hold_out(table, wanted, seed)
    kept, out = rest["row"].to_pylist(), held["row"].to_pylist()
    assert sorted(kept + out) == list(range(len(rows)))
    assert (kept, out) == (sorted(kept), sorted(out))
    assert not set(rest["text"].to_pylist()) & set(held["text"].to_pylist())
    assert rest.num_rows >= 1
    if stratified:
        assert set(rest["label"].to_pylist()) == {label for _, label in rows}
    assert hold_out(table, wanted, seed)[1].equals(held)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=200), st.data())
def test_as_many_rows_are_held_out_as_asked_for(labels: list[int], data: st.DataObject) -> None:
    """Prevents a held-out split that is too small, or has another share of a label than train."""
    wanted, seed = data.draw(st.integers(1, len(labels))), data.draw(st.integers(0, 99))
    spare = len(labels) - len(set(labels))
    _, held = hold_out(rows_of(list(range(len(labels))), labels), wanted, seed)
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
    held = hold_out(table, 200, 1)[1]
    assert held.num_rows == 200
    assert len(set(held["text"].to_pylist())) >= 100


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3), st.integers(0, 20)), min_size=2, max_size=150), st.data()
)
def test_no_text_or_group_is_in_two_parts(rows: list[tuple[int, int, int]], data: st.DataObject) -> None:
    """Prevents a score on rows whose author or text was trained on, an empty fold, and folds that change."""
    texts, labels, groups = map(list, zip(*rows, strict=True))
    stratified = data.draw(st.booleans())
    table = rows_of(texts, labels, groups if data.draw(st.booleans()) else None, stratified=stratified)
    sizes = data.draw(st.sampled_from([[1, 1], [1, 1, 1, 1, 1], [9, 1], [1, 9]]))
    seed = data.draw(st.integers(0, 9))
    try:
        part = splits.parts(table, sizes, seed)
    except DataError as error:
        assert "stay together, which leaves" in str(error)  # noqa: PT017
        return
    assert set(part) == set(range(len(sizes)))
    for column in {"text", "group"} & set(table.column_names):
        assert len(set(zip(table[column].to_pylist(), part, strict=True))) == len(set(table[column].to_pylist()))
    assert np.array_equal(part, splits.parts(table, sizes, seed))


@given(st.lists(st.integers(0, 4), min_size=10, max_size=300), st.integers(2, 10), st.integers(0, 9))
def test_folds_of_different_texts_have_equal_sizes_and_labels(labels: list[int], count: int, seed: int) -> None:
    """Prevents a fold that is larger than the others, or one with most of a rare label."""
    part = splits.parts(rows_of(list(range(len(labels))), labels), [1] * count, seed)
    assert np.ptp(np.bincount(part, minlength=count)) <= 1
    for label in set(labels):
        assert np.ptp(np.bincount(part[np.array(labels) == label], minlength=count)) <= 1


def test_groups_are_held_out_with_the_wanted_rows_and_labels() -> None:
    """Prevents a validation split of the groups that are easiest to move: small ones, or those of one label."""
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), generator.integers(1, 40, 100))
    labels = (generator.random(len(groups)) < 0.1 + 0.8 * (groups % 3 == 0)).astype(int)
    part = splits.parts(rows_of(list(range(len(groups))), labels.tolist(), groups.tolist()), [8, 2], 1)
    assert np.mean(part == 1) == pytest.approx(0.2, abs=0.01)
    assert labels[part == 1].mean() == pytest.approx(labels.mean(), abs=0.02)
    assert len(set(groups[part == 1])) >= 15


@pytest.mark.parametrize(
    ("times", "wanted", "held"),
    [([3, 1, 2, 5, 4], 2, [5, 4]), ([1, 2, 2, 2, 3], 2, [3]), ([1, 2, 2], 1, [2, 2]), ([1, 2, 3], 9, [2, 3])],
)
def test_the_latest_rows_are_held_out(times: list[int], wanted: int, held: list[int]) -> None:
    """Prevents a validation row that is older than a training row, and a time that is in both."""
    is_held = splits.latest(pa.table({"time": times}), wanted)
    assert np.array(times)[is_held].tolist() == held


def test_rows_with_several_labels_are_held_out_by_their_rarest() -> None:
    """Prevents a multi-label task whose rare label is only in test, or not in it."""
    labels = [[0, 1] if row % 10 == 0 else [0] for row in range(200)]
    table = pa.table({"text": list(map(str, range(200))), "label": pa.array(labels, pa.list_(pa.int64()))})
    _, held = splits.divided(table, splits.at_random(table, 40, 1))
    assert held["label"].to_pylist().count([0, 1]) == 4
    part = splits.parts(table, [1] * 5, 1)
    assert np.bincount(part[::10]).tolist() == [4] * 5
