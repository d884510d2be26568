"""The special tokens around a text or the texts of a pair.

The tokenizer's own post-processor gives the special tokens. Texts are joined with numpy, all of a batch together.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from refit.tokenization.token_batch import Encoded, Ids, Offsets, offsets, places


@dataclass(frozen=True)
class PairFrame:
    """The special ids before, between and after the texts of a pair, and how many of them have token type 0.

    They come first and, as the first text, have type 0, the others and the second text type 1. None: all have type 0.
    """

    begin: list[int]
    middle: list[int]
    end: list[int]
    of_first: int | None

    def join(self, first: Encoded, second: Encoded, max_length: int) -> Encoded:
        """Join and truncate the texts of each pair, both encoded without special tokens and without truncation."""
        size = len(self.begin) + len(self.middle) + len(self.end)
        keep_first, keep_second = longest_first(np.diff(first.offsets), np.diff(second.offsets), max_length - size)
        lengths = keep_first + keep_second + size
        begins = offsets(lengths)
        ids = np.empty(int(begins[-1]), dtype=np.int32)
        at = _fill(ids, begins[:-1], self.begin)
        _scatter(ids, at, first.ids, first.offsets[:-1], keep_first)
        at = _fill(ids, at + keep_first, self.middle)
        _scatter(ids, at, second.ids, second.offsets[:-1], keep_second)
        _fill(ids, at + keep_second, self.end)
        of_first = lengths if self.of_first is None else keep_first + self.of_first
        return Encoded(ids, begins, of_first.astype(np.int32))


def around_pair(tokenizer: Tokenizer) -> PairFrame:
    """The special tokens that a tokenizer adds to a pair."""
    pair = _bare(tokenizer).encode("a", "a")
    first, second = (list(pair.sequence_ids).index(sequence) for sequence in (0, 1))
    of_first = pair.type_ids.count(0) - 1 if 1 in pair.type_ids else None
    return PairFrame(pair.ids[:first], pair.ids[first + 1 : second], pair.ids[second + 1 :], of_first)


def around_text(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The ids that a tokenizer adds before and after a single text."""
    text = _bare(tokenizer).encode("a")
    at = list(text.sequence_ids).index(0)
    return text.ids[:at], text.ids[at + 1 :]


def frame(source: Encoded, start: Offsets, count: Offsets, before: list[int], after: list[int]) -> Encoded:
    """Rows of `count[i]` ids from `source.ids[start[i]:]`, with the same special ids around each row."""
    begins = offsets(count + (len(before) + len(after)))
    ids = np.empty(int(begins[-1]), dtype=np.int32)
    at = _fill(ids, begins[:-1], before)
    _scatter(ids, at, source.ids, start, count)
    _fill(ids, at + count, after)
    return Encoded(ids, begins, None)


def longest_first(
    first: npt.NDArray[np.int64], second: npt.NDArray[np.int64], budget: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The number of tokens to keep of the first and the second text of each pair, `budget` together.

    The rule of `tokenizers` (truncate_encodings in its utils/truncation.rs): tokens are cut from the longer text until
    both are of equal length, then from both; the longer one keeps the odd token.
    """
    half = (budget + (first > second)) // 2
    keep_first = np.minimum(first, np.maximum(half, budget - second))
    return keep_first, np.minimum(second, budget - keep_first)


def _bare(tokenizer: Tokenizer) -> Tokenizer:
    """A tokenizer that knows only the word "a", with the given one's post-processor and without its truncation."""
    bare = Tokenizer(WordLevel({"a": 0}, "a"))
    if tokenizer.post_processor is not None:
        bare.post_processor = tokenizer.post_processor
    return bare


def _fill(target: Ids, at: Offsets, special: list[int]) -> Offsets:
    """Write the same ids into every row, starting at `at`; returns the position after them."""
    target[np.add.outer(at, np.arange(len(special)))] = special
    return at + len(special)


def _scatter(target: Ids, at: Offsets, source: Ids, start: Offsets, count: npt.NDArray[np.int64]) -> None:
    """Copy `count[i]` ids from `source[start[i]:]` to `target[at[i]:]`, for every row i."""
    target[places(at, count)] = source[places(start, count)]
