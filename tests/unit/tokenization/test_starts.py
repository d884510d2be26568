"""Long texts by their start: where a text may be cut, and for which tokenizers."""

from pathlib import Path

import pytest
from hard_texts import BYTE_PAIR, WORDPIECE, byte_pair, wordpiece
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers

from refit.tokenization import starts
from refit.tokenization.hf_tokenizer import Reference
from refit.tokenization.wordpiece import WordPiece


@given(st.text(alphabet="ab \n", max_size=200), st.integers(3, 20))
def test_a_start_ends_before_a_space(text: str, max_length: int) -> None:
    """Prevents half a word from being read as a whole one, and a long text without a space from losing its end."""
    cut = starts.of_long([text, "short", text], max_length)
    assert list(cut) in ([], [0, 2])
    assert bool(cut) == (" " in text[: starts.CHARACTERS * max_length] and len(text) > starts.CHARACTERS * max_length)
    for start in cut.values():
        assert text.startswith(start)
        assert text[len(start)] == " "
        assert len(start) < starts.CHARACTERS * max_length


@pytest.mark.parametrize("kind", WORDPIECE)
def test_berts_own_settings_allow_it(tmp_path: Path, kind: str) -> None:
    """Prevents the whole of every book from being read for its first page."""
    assert starts.is_exact(Tokenizer.from_buffer(wordpiece(kind, tmp_path)))


def test_other_settings_do_not(tmp_path: Path) -> None:
    """Prevents other tokens at the end of a row where what follows a space changes what stands before it."""
    assert not any(starts.is_exact(Tokenizer.from_buffer(byte_pair(kind))) for kind in BYTE_PAIR)
    whole_texts, composed, spaced = (Tokenizer.from_buffer(wordpiece("uncased", tmp_path / name)) for name in "abc")
    whole_texts.pre_tokenizer = pre_tokenizers.Digits()
    composed.normalizer = normalizers.NFC()
    spaced.add_tokens([AddedToken("good film")])
    assert not any(starts.is_exact(tokenizer) for tokenizer in (whole_texts, composed, spaced))


def test_a_start_with_too_few_tokens_is_read_as_a_whole(tmp_path: Path) -> None:
    """Prevents rows from being short because their texts have long words, or long gaps, at their start."""
    tokenizer_json = wordpiece("uncased", tmp_path)
    reference = Reference(tokenizer_json, 16)
    texts = ["good", "a" * 120 + " bad " * 40, "good film " * 30, " " * 200 + "good " * 40, "film"]
    assert list(starts.of_long(texts, 16)) == [2, 3]
    encoded = WordPiece(tokenizer_json, reference).encode(texts, None)
    assert encoded.lengths.tolist() == [3, 16, 16, 16, 3]
    assert encoded.equals(reference.encode(texts, None))
