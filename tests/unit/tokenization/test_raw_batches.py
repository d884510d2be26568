"""Reading data/raw ahead: the same batches in the same order, and errors where they occur."""

from collections.abc import Iterator

import pyarrow as pa
import pytest

from refit.tokenization.raw_batches import Texts, prefetched


def test_an_error_comes_after_the_batches_before_it_and_no_more_than_one_waits() -> None:
    """Prevents lost or swapped batches, a damaged file that looks complete, and memory that grows with the rows."""
    given = [Texts("train", [str(number)], None, pa.array([0])) for number in range(5)]
    made = []

    def read() -> Iterator[Texts]:
        for batch in given:
            made.append(batch)
            yield batch
        raise ValueError("damaged")

    coming = prefetched(read())
    for number, batch in enumerate(given):
        assert next(coming) is batch
        assert len(made) <= number + 2
    with pytest.raises(ValueError, match="damaged"):
        next(coming)
