"""Long texts: which tokens head_tail and windows keep, for each kind of tokenizer and its fast engine."""

from itertools import pairwise

import numpy as np
import pytest
from hard_texts import ANY_TEXT, BYTE_PAIR, WORDPIECE, byte_pair, wordpiece
from hypothesis import given, settings
from hypothesis import strategies as st

from refit.params import LongTexts
from refit.tokenization import engines, long_texts
from refit.tokenization.hf_tokenizer import Reference
from refit.tokenization.long_texts import Cutter
from refit.tokenization.token_batch import Encoded, offsets

LENGTHS = st.lists(st.integers(0, 300), max_size=8)


def encoded(lengths: list[int]) -> Encoded:
    """Texts of the tokens 0, 1, 2 and so on."""
    ids = [np.arange(length, dtype=np.int32) for length in lengths]
    return Encoded(np.concatenate([np.empty(0, np.int32), *ids]), offsets(lengths), None)


def cut(how: LongTexts, lengths: list[int], max_length: int) -> list[tuple[int, list[int]]]:
    """The text and the tokens of each row, which has the special tokens -1 and -2 around it."""
    rows, text = Cutter(how, max_length, [-1], [-2]).rows(encoded(lengths))
    return [(int(text[row]), rows.take([row]).ids.tolist()) for row in range(len(rows))]


@given(LENGTHS, st.integers(4, 60))
def test_windows_are_full_and_overlap_and_cover_the_text_and_are_as_few_as_can_be(
    lengths: list[int], max_length: int
) -> None:
    """Prevents tokens that no window has, and windows that cost time and tell the model nothing."""
    room = max_length - 2
    overlap = int(long_texts.OVERLAP * room)
    found = cut("windows", lengths, max_length)
    assert [text for text, _ in found] == sorted(text for text, _ in found)
    for text, length in enumerate(lengths):
        windows = [row[1:-1] for of, row in found if of == text]
        assert all((row[0], row[-1]) == (-1, -2) for _, row in found)
        assert all(window == list(range(window[0], window[0] + room)) for window in windows if length > room)
        assert all(before[-1] - after[0] + 1 >= overlap for before, after in pairwise(windows))
        assert set().union(*windows) == set(range(length))
        fewer = len(windows) - 1
        assert length > fewer * room - (fewer - 1) * overlap if fewer else windows == [list(range(length))]


@given(LENGTHS, st.integers(4, 60))
def test_head_tail_keeps_the_first_quarter_and_the_last_three(lengths: list[int], max_length: int) -> None:
    """Prevents short texts that lose tokens, and long ones whose end is not the end of the text."""
    head = -(-(max_length - 2) // 4)
    tail = max_length - 2 - head
    for length, (_, row) in zip(lengths, cut("head_tail", lengths, max_length), strict=True):
        tokens = list(range(length))
        assert row[1:-1] == (tokens if length <= head + tail else tokens[:head] + tokens[-tail:])


def test_head_tail_is_that_of_the_paper() -> None:
    """Prevents another split than 128 and 382 of 510 tokens (C. Sun et al.)."""
    [(_, row)] = cut("head_tail", [1000], 512)
    assert row == [-1, *range(128), *range(1000 - 382, 1000), -2]


@pytest.fixture(scope="module", params=[*WORDPIECE, *BYTE_PAIR])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The tokenizer.json of each kind of tokenizer that has a fast engine."""
    kind = request.param
    return wordpiece(kind, tmp_path_factory.mktemp("model")) if kind in WORDPIECE else byte_pair(kind)


@settings(max_examples=40)
@given(texts=st.lists(ANY_TEXT, min_size=1, max_size=6), max_length=st.integers(5, 40))
def test_rows_begin_as_the_models_own_tokenizer_truncates(tokenizer: bytes, texts: list[str], max_length: int) -> None:
    """Prevents fast engines that differ where a text is not truncated, and special tokens that are not the model's."""
    reference = Reference(tokenizer, max_length, is_complete=True)
    complete = engines.fastest(tokenizer, reference).encode(texts, None)
    assert complete.equals(reference.encode(texts, None))
    truncated = Reference(tokenizer, max_length).encode(texts, None)
    rows, text = Cutter.of("windows", reference).rows(complete)
    assert rows.take(np.unique(text, return_index=True)[1].tolist()).equals(truncated)
    rows, text = Cutter.of("head_tail", reference).rows(complete)
    assert text.tolist() == list(range(len(texts)))
    assert rows.lengths.tolist() == truncated.lengths.tolist()
    special = len(reference.tokenizer.encode("").ids)
    short = [row for row in range(len(texts)) if complete.lengths[row] + special <= max_length]
    assert rows.take(short).equals(truncated.take(short))
