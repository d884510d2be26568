"""Words of a text without a tokenizer."""

import pytest

from refit.data.words import overlap


def test_overlap_counts_words_or_chinese_characters_that_both_have() -> None:
    """Without a rule for scripts without spaces every Chinese pair would share nothing."""
    assert overlap("The film was good", "the FILM is good") == pytest.approx(3 / 5)
    assert overlap("花呗还款", "花呗借款") == pytest.approx(3 / 5)
    assert overlap("a b", "c d") == 0.0
    assert overlap("", "") == 1.0
