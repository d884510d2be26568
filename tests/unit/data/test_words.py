"""Words of a text without a tokenizer."""

import pytest

from refit.data.words import overlaps


def test_overlap_counts_words_or_chinese_characters_that_both_have() -> None:
    """Without a rule for scripts without spaces every Chinese pair would share nothing."""
    pairs = [("The film was good", "the FILM is good"), ("花呗还款", "花呗借款"), ("a b", "c d"), ("", "")]
    assert overlaps(pairs) == pytest.approx([3 / 5, 3 / 5, 0, 1])
