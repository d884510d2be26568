"""Dividing rows by groups, by time and into folds: no group or text in two parts, sizes and labels in proportion."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refit.download import folds
from refit.errors import DataError


def rows_of(texts: list[int], labels: list[int], groups: list[int] | None = None) -> pa.Table:
    """A table of the given texts, labels and groups."""
    columns = {"text": [str(text) for text in texts], "label": pa.array(labels, pa.int64())}
    return pa.table(columns | ({} if groups is None else {"group": [str(group) for group in groups]}))


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3), st.integers(0, 20)), min_size=2, max_size=150), st.data()
)
def test_no_text_or_group_is_in_two_parts(rows: list[tuple[int, int, int]], data: st.DataObject) -> None:
    """Prevents a score on rows whose author or text was trained on, an empty fold, and folds that change."""
    texts, labels, groups = map(list, zip(*rows, strict=True))
    table = rows_of(texts, labels, groups if data.draw(st.booleans()) else None)
    sizes = data.draw(st.sampled_from([[1, 1], [1, 1, 1, 1, 1], [9, 1], [1, 9]]))
    seed, stratified = data.draw(st.integers(0, 9)), data.draw(st.booleans())
    try:
        part = folds.parts(table, sizes, seed, stratified=stratified)
    except DataError as error:
        assert "stay together, which leaves" in str(error)  # noqa: PT017
        return
    assert set(part) == set(range(len(sizes)))
    for column in {"text", "group"} & set(table.column_names):
        assert len(set(zip(table[column].to_pylist(), part, strict=True))) == len(set(table[column].to_pylist()))
    assert np.array_equal(part, folds.parts(table, sizes, seed, stratified=stratified))


@given(st.lists(st.integers(0, 4), min_size=10, max_size=300), st.integers(2, 10), st.integers(0, 9))
def test_folds_of_different_texts_have_equal_sizes_and_labels(labels: list[int], count: int, seed: int) -> None:
    """Prevents a fold that is larger than the others, or one with most of a rare label."""
    part = folds.parts(rows_of(list(range(len(labels))), labels), [1] * count, seed, stratified=True)
    assert np.ptp(np.bincount(part, minlength=count)) <= 2
    for label in set(labels):
        assert np.ptp(np.bincount(part[np.array(labels) == label], minlength=count)) <= 2


def test_groups_are_held_out_with_the_wanted_rows_and_labels() -> None:
    """Prevents a validation split of the groups that are easiest to move: small ones, or those of one label."""
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), generator.integers(1, 40, 100))
    labels = (generator.random(len(groups)) < 0.1 + 0.8 * (groups % 3 == 0)).astype(int)
    part = folds.parts(rows_of(list(range(len(groups))), labels.tolist(), groups.tolist()), [8, 2], 1, stratified=True)
    assert np.mean(part == 1) == pytest.approx(0.2, abs=0.01)
    assert labels[part == 1].mean() == pytest.approx(labels.mean(), abs=0.02)
    assert len(set(groups[part == 1])) >= 15


@pytest.mark.parametrize(
    ("times", "wanted", "held"),
    [([3, 1, 2, 5, 4], 2, [5, 4]), ([1, 2, 2, 2, 3], 2, [3]), ([1, 2, 2], 1, [2, 2]), ([1, 2, 3], 9, [2, 3])],
)
def test_the_latest_rows_are_held_out(times: list[int], wanted: int, held: list[int]) -> None:
    """Prevents a validation row that is older than a training row, and a time that is in both."""
    is_held = folds.latest(pa.table({"time": times}), wanted)
    assert np.array(times)[is_held].tolist() == held
