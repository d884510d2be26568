"""BPE: gigatoken's ids are the model's own tokenizer's, whatever the text."""

import numpy as np
import pytest
from hard_texts import ANY_TEXT, BYTE_PAIR, byte_pair
from hypothesis import given, settings
from hypothesis import strategies as st

from refit.tokenization import byte_pair as module
from refit.tokenization.byte_pair import BytePair
from refit.tokenization.hf_tokenizer import Reference


@pytest.fixture(scope="module", params=BYTE_PAIR)
def tokenizer_json(request: pytest.FixtureRequest) -> bytes:
    """A tokenizer as RoBERTa has it, and one as ModernBERT has it."""
    return byte_pair(request.param)


@settings(max_examples=100)
@given(texts=st.lists(ANY_TEXT, min_size=1, max_size=8), max_length=st.integers(5, 40))
def test_single_texts_are_encoded_alike(tokenizer_json: bytes, texts: list[str], max_length: int) -> None:
    """Prevents a model from being trained on other tokens than it was pretrained on."""
    reference = Reference(tokenizer_json, max_length)
    assert BytePair(tokenizer_json, reference).encode(texts, None).equals(reference.encode(texts, None))


@settings(max_examples=100)
@given(pairs=st.lists(st.tuples(ANY_TEXT, ANY_TEXT), min_size=1, max_size=8), max_length=st.integers(6, 40))
def test_pairs_are_encoded_alike(tokenizer_json: bytes, pairs: list[tuple[str, str]], max_length: int) -> None:
    """Prevents a pair from being cut, joined or typed in another way than `truncation=True` does it."""
    first, second = [list(side) for side in zip(*pairs, strict=True)]
    reference = Reference(tokenizer_json, max_length)
    assert BytePair(tokenizer_json, reference).encode(first, second).equals(reference.encode(first, second))


def test_many_texts_go_through_small_matrices(tokenizer_json: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents rows from being lost where a batch is cut so that one long text does not widen all of it."""
    reference = Reference(tokenizer_json, 16)
    texts = ["a good film " * number for number in range(25)]
    whole = BytePair(tokenizer_json, reference).encode(texts, None)
    monkeypatch.setattr(module, "MATRIX_IDS", 16 * 7)
    assert BytePair(tokenizer_json, reference).encode(texts, None).equals(whole)
    assert np.array_equal(whole.lengths, reference.encode(texts, None).lengths)
    assert len(BytePair(tokenizer_json, reference).encode([], None)) == 0
