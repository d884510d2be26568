"""Prefetching: the same items in the same order, and errors where they occur."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refit.tokenization.prefetch import prefetched


@given(st.lists(st.integers() | st.none()))
def test_the_items_and_their_order_are_the_same(items: list[int | None]) -> None:
    """Prevents a batch of rows from being lost or swapped, and an item that is None from ending the rest."""
    assert list(prefetched(items)) == items


def test_an_error_comes_after_the_items_before_it_and_no_more_than_one_waits() -> None:
    """Prevents a damaged file from ending tokenize as if it had been read to its end, and memory that grows."""
    made = []

    def items() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            yield number
        raise ValueError("damaged")

    coming = prefetched(items())
    for number in range(5):
        assert next(coming) == number
        assert len(made) <= number + 2
    with pytest.raises(ValueError, match="damaged"):
        next(coming)
