"""Lists of label ids and their 0 or 1 of each label."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from refit.data import label_sets

LISTS = st.lists(st.lists(st.integers(0, 4), unique=True).map(sorted), min_size=1, max_size=20)


@given(LISTS)
def test_a_matrix_has_the_labels_of_its_lists(lists: list[list[int]]) -> None:
    """Prevents a label from moving to another row where rows have none or several."""
    matrix = label_sets.matrix(pa.array(lists, pa.list_(pa.int64())), 5)
    assert [np.flatnonzero(row).tolist() for row in matrix] == lists
    assert label_sets.lists(matrix).to_pylist() == lists


def test_hidden_labels_are_none() -> None:
    """Prevents the last label from being true for every row whose labels are hidden."""
    assert not label_sets.matrix(pa.array([[-1], [-1]]), 3).any()


def test_rows_are_held_out_by_their_rarest_label() -> None:
    """Prevents a rare label from being in one split only, because it comes with a frequent one."""
    lists = pa.array([[0], [0, 1], [0], []], pa.list_(pa.int64()))
    assert label_sets.strata(lists).tolist() == [0, 1, 0, -1]
