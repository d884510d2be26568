"""WordPiece: nanotoken's ids are the model's own tokenizer's, whatever the text."""

import pytest
from hard_texts import ANY_TEXT, WORDPIECE, wordpiece
from hypothesis import given, settings
from hypothesis import strategies as st

from refit.tokenization.hf_tokenizer import Reference
from refit.tokenization.wordpiece import WordPiece


@pytest.fixture(scope="module", params=WORDPIECE)
def tokenizer_json(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A tokenizer of each kind that BERT has."""
    return wordpiece(request.param, tmp_path_factory.mktemp(request.param))


@settings(max_examples=60)
@given(texts=st.lists(ANY_TEXT, min_size=1, max_size=8), max_length=st.integers(4, 40))
def test_single_texts_are_encoded_alike(tokenizer_json: bytes, texts: list[str], max_length: int) -> None:
    """Prevents a model from being trained on other tokens than it was pretrained on."""
    reference = Reference(tokenizer_json, max_length)
    assert WordPiece(tokenizer_json, reference).encode(texts, None).equals(reference.encode(texts, None))


@settings(max_examples=100)
@given(pairs=st.lists(st.tuples(ANY_TEXT, ANY_TEXT), min_size=1, max_size=8), max_length=st.integers(4, 40))
def test_pairs_are_encoded_alike(tokenizer_json: bytes, pairs: list[tuple[str, str]], max_length: int) -> None:
    """Prevents a pair from being cut, joined or typed in another way than `truncation=True` does it."""
    first, second = [list(side) for side in zip(*pairs, strict=True)]
    reference = Reference(tokenizer_json, max_length)
    fast = WordPiece(tokenizer_json, reference).encode(first, second)
    assert fast.equals(reference.encode(first, second))
    assert fast.lengths.max() <= max_length
