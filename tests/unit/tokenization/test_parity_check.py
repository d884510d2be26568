"""The comparison of engines: which rows are looked at, and what happens when one differs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refit.tokenization import engines
from refit.tokenization.hf_tokenizer import Reference
from refit.tokenization.parity_check import CheckedEngine, EnginesDifferError, first_words
from refit.tokenization.raw_batches import Texts
from refit.tokenization.token_batch import Encoded


class WrongOnce:
    """The model's own tokenizer, but for one row of each batch, in which it adds one to the last id."""

    name = "wrong"

    def __init__(self, reference: Reference, row: int) -> None:
        self.reference = reference
        self.row = row

    def encode(self, texts: list[str], pairs: list[str] | None) -> Encoded:
        """As Reference.encode, with the fault."""
        right = self.reference.encode(texts, pairs)
        ids = right.ids.copy()
        ids[right.offsets[self.row + 1] - 1] += 1
        return Encoded(ids, right.offsets, right.first_lengths)


TEXTS = ["a good film"] * 50
TEXTS[17] = "a good film " * 9  # the longest
TEXTS[23] = ""  # the shortest
TEXTS[31] = "ä good film"  # the first that is not ASCII
CHECKED = {0, 20, 40, 17, 23, 31}


def checked(engine: Any, reference: Reference) -> CheckedEngine:
    return CheckedEngine(lambda: engine, reference, stride=20)


@pytest.mark.parametrize("row", range(50))
@pytest.mark.parametrize("is_pair", [False, True])
def test_a_wrong_id_in_a_row_that_is_looked_at_is_found(tiny_model: Path, row: int, is_pair: bool) -> None:
    """Prevents a fast engine that is wrong on long, empty or foreign texts from being believed."""
    _, reference = engines.load(tiny_model, 32)
    engine = checked(WrongOnce(reference, row), reference)
    pairs = TEXTS if is_pair else None
    if row in CHECKED:
        with pytest.raises(EnginesDifferError):
            engine.encode(TEXTS, pairs)
    else:
        engine.encode(TEXTS, pairs)


def test_the_ids_are_the_engines(tiny_model: Path) -> None:
    """Prevents the check from changing what it checks."""
    engine, reference = engines.load(tiny_model, 32)
    found = checked(engine(), reference).encode(TEXTS, None)
    assert found.equals(reference.encode(TEXTS, None))
    assert np.array_equal(checked(reference, reference).encode(TEXTS, None).ids, found.ids)


def test_batches_come_in_their_order_and_each_is_compared(tiny_model: Path) -> None:
    """Prevents a sample, begun ahead, from being compared with another batch than its own."""
    engine, reference = engines.load(tiny_model, 32)
    batches = [Texts("train", TEXTS[:size], None, None) for size in (50, 1, 20)]
    found = list(checked(engine(), reference).encode_all(batches))
    assert [texts for texts, _ in found] == batches
    assert all(encoded.equals(reference.encode(texts.first, None)) for texts, encoded in found)
    wrong = checked(WrongOnce(reference, 0), reference).encode_all(iter(batches))
    with pytest.raises(EnginesDifferError):
        next(wrong)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet=st.sampled_from("ab é中.\t\n\u200b\x1c\x00"), max_size=200), st.integers(3, 40))
def test_the_first_words_of_a_text_have_its_tokens(tiny_model: Path, text: str, max_length: int) -> None:
    """Prevents a comparison with the ids of another text; where words have no token, the whole text is tried."""
    _, reference = engines.load(tiny_model, max_length)
    start = first_words(text, max_length)
    assert text.startswith(start)
    if not set(text) & set("\u200b\x1c\x00"):
        assert reference.encode([start], None).equals(reference.encode([text], None))


def test_long_texts_are_compared_by_their_start(tiny_model: Path) -> None:
    """Prevents a comparison that reads the whole of a book for its first page."""
    assert first_words("a good film " * 900, 32) == "a good film " * 10 + "a good "
    assert first_words("a good film", 32) == "a good film"


def test_words_without_a_token_are_no_difference(tiny_model: Path) -> None:
    """Prevents the slow engine on texts in which a start of so many words has too few tokens."""
    engine, reference = engines.load(tiny_model, 32)
    text = "\u200b " * 40 + "a good film " * 40
    start = first_words(text, 32)
    assert not reference.encode([start], None).equals(reference.encode([text], None))
    assert checked(engine(), reference).encode([text], None).equals(reference.encode([text], None))
