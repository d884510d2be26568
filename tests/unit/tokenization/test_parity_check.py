"""The comparison of engines: which rows are compared, and what happens when one differs."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from refit.tokenization import engines, parity_check
from refit.tokenization.hf_tokenizer import Reference
from refit.tokenization.parity_check import EnginesDifferError
from refit.tokenization.token_batch import Encoded


class WrongOnce:
    """The model's own tokenizer, with one added to the last id of one row of each batch."""

    name = "wrong"

    def __init__(self, reference: Reference, row: int) -> None:
        self.reference = reference
        self.row = row

    def encode(self, texts: list[str], pairs: list[str] | None) -> Encoded:
        """As Reference.encode, with one wrong id."""
        right = self.reference.encode(texts, pairs)
        ids = right.ids.copy()
        ids[right.offsets[self.row + 1] - 1] += 1
        return Encoded(ids, right.offsets, right.first_lengths)


TEXTS = ["a good film"] * 50
TEXTS[17] = "a good film " * 9  # the longest
TEXTS[23] = ""  # the shortest
TEXTS[31] = "ä good film"  # the first that is not ASCII
CHECKED = {0, 20, 40, 17, 23, 31}


@pytest.mark.parametrize("row", range(50))
@pytest.mark.parametrize("is_pair", [False, True])
def test_a_wrong_id_in_a_row_that_is_compared_is_found(tiny_model: Path, row: int, is_pair: bool) -> None:
    """Prevents a fast engine that is wrong on long, empty or non-ASCII texts from being trusted."""
    _, reference = engines.load(tiny_model, 32)
    engine = WrongOnce(reference, row)
    with pytest.raises(EnginesDifferError) if row in CHECKED else nullcontext():
        parity_check.encode(engine, reference, 20, TEXTS, TEXTS if is_pair else None)
