"""Reading ahead: the same items, an error where its item would have come, never more waiting than wanted."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refit.tokenization.prefetch import ahead


@given(st.lists(st.integers() | st.none()), st.integers(1, 4))
def test_the_items_and_their_order_are_the_same(items: list[int | None], depth: int) -> None:
    """Prevents a batch of rows from being lost or swapped, and an item that is None from ending the rest."""
    assert list(ahead(items, depth)) == items


def test_an_error_comes_after_the_items_before_it() -> None:
    """Prevents a damaged file from ending tokenize as if it had been read to its end."""

    def items() -> Iterator[int]:
        yield 1
        raise ValueError("damaged")

    coming = ahead(items())
    assert next(coming) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(coming)


@pytest.mark.parametrize("depth", [1, 2])
def test_no_more_items_wait_than_wanted(depth: int) -> None:
    """Prevents memory from growing with the rows when the reader is faster than the encoder."""
    made = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    for number in ahead(items(), depth):
        assert len(made) <= number + 1 + depth
