"""Text to token ids, exactly as the model's own tokenizer does it, by the fastest engine that can.

WordPiece tokenizers (BERT, DistilBERT, MiniLM, ELECTRA) are encoded by nanotoken straight into numpy buffers; it
takes single texts, so pairs are put together here. Every other tokenizer is encoded by `tokenizers`, which is
also the reference that nanotoken's ids are compared with on a sample of every run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain
from pathlib import Path

import nanotoken
import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from refit.errors import DataError, ParamsError
from refit.storage import files

Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Encoded:
    """Token ids of n texts or pairs, special tokens included, truncated, not padded.

    Row i is `ids[offsets[i]:offsets[i + 1]]`. For pairs its first `first_lengths[i]` ids have token type 0 and the
    rest have type 1; None for single texts, which are all of type 0.
    """

    ids: Ids
    offsets: Offsets
    first_lengths: Ids | None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Ids:
        """The number of tokens of each row."""
        return np.diff(self.offsets).astype(np.int32)

    def take(self, rows: Sequence[int]) -> "Encoded":
        """The given rows, in the given order."""
        pieces = [self.ids[self.offsets[row] : self.offsets[row + 1]] for row in rows]
        first = None if self.first_lengths is None else self.first_lengths[np.asarray(rows, dtype=np.intp)]
        return Encoded(_concatenate(pieces), _offsets([len(piece) for piece in pieces]), first)

    def equals(self, other: "Encoded") -> bool:
        """Whether ids, rows and token types are the same."""
        same = np.array_equal(self.ids, other.ids) and np.array_equal(self.offsets, other.offsets)
        if self.first_lengths is None or other.first_lengths is None:
            return same and self.first_lengths is other.first_lengths
        return same and np.array_equal(self.first_lengths, other.first_lengths)


class Reference:
    """The model's own tokenizer, run by the `tokenizers` library."""

    name = "tokenizers"

    def __init__(self, tokenizer_json: str, max_length: int) -> None:
        self.max_length = max_length
        self.tokenizer = Tokenizer.from_str(tokenizer_json)
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_length)

    def encode(self, texts: list[str], pairs: list[str] | None) -> Encoded:
        """Encode texts, or pairs; pairs are cut from the longer one first, as `truncation=True` does."""
        inputs = texts if pairs is None else list(zip(texts, pairs, strict=True))
        encodings = self.tokenizer.encode_batch_fast(inputs)
        lengths = [len(encoding.ids) for encoding in encodings]
        ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int32, sum(lengths))
        first = None
        if pairs is not None:
            first = np.fromiter((_first_length(encoding.type_ids) for encoding in encodings), np.int32, len(encodings))
        elif any(any(encoding.type_ids) for encoding in encodings):
            raise DataError(
                "models/base: its tokenizer gives a single text other token types than 0, which refit cannot store"
            )
        return Encoded(ids, _offsets(lengths), first)


class WordPiece:
    """nanotoken, for WordPiece tokenizers. Raises nanotoken.UnsupportedTokenizerError for others."""

    name = "nanotoken"

    def __init__(self, tokenizer_json: str, max_length: int) -> None:
        self.engine = nanotoken.WordPieceTokenizer.from_json(tokenizer_json)
        self.max_length = max_length
        self.tokenizer_json = tokenizer_json

    @cached_property
    def frame(self) -> tuple[list[int], list[int], list[int], int]:
        """The special ids around the texts of a pair; single texts do without."""
        return _pair_frame(self.tokenizer_json)

    def encode(self, texts: list[str], pairs: list[str] | None) -> Encoded:
        """As Reference.encode."""
        if pairs is None:
            ids, offsets = self.engine.encode_batch(texts, max_length=self.max_length)
            return Encoded(ids.view(np.int32), offsets, None)
        first = self.engine.encode_batch(texts, add_special_tokens=False)
        second = self.engine.encode_batch(pairs, add_special_tokens=False)
        return self._join(first, second)

    def _join(
        self, first: tuple[npt.NDArray[np.uint32], Offsets], second: tuple[npt.NDArray[np.uint32], Offsets]
    ) -> Encoded:
        """[CLS] first [SEP] second [SEP] for each row, written column-wise into one buffer."""
        begin, middle, end, middle_is_first = self.frame
        keep_first, keep_second = longest_first(
            np.diff(first[1]), np.diff(second[1]), self.max_length - len(begin) - len(middle) - len(end)
        )
        lengths = keep_first + keep_second + (len(begin) + len(middle) + len(end))
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        ids = np.empty(int(offsets[-1]), dtype=np.int32)
        at = offsets[:-1]
        for special in begin:
            ids[at] = special
            at = at + 1
        _scatter(ids, at, first[0], first[1][:-1], keep_first)
        at = at + keep_first
        for special in middle:
            ids[at] = special
            at = at + 1
        _scatter(ids, at, second[0], second[1][:-1], keep_second)
        at = at + keep_second
        for special in end:
            ids[at] = special
            at = at + 1
        return Encoded(ids, offsets, (keep_first + (len(begin) + middle_is_first)).astype(np.int32))


Engine = Reference | WordPiece


def load(model: Path, max_length: int) -> tuple[Callable[[], Engine], Reference]:
    """What gives the engine to encode with, and the reference to check it against, for a model's tokenizer.

    The engine is loaded when it is first asked for, so that the reference can be at work meanwhile. Raises ParamsError
    when `max_length` is more than the model can take.
    """
    limit = length_limit(model)
    if limit is not None and max_length > limit:
        raise ParamsError(
            f"params.yaml max_length: got {max_length}, need at most {limit}, the limit of the model in {model}"
        )
    text = (model / "tokenizer.json").read_text(encoding="utf-8")
    reference = Reference(text, max_length)

    @cache
    def engine() -> Engine:
        try:
            return WordPiece(text, max_length)
        except nanotoken.UnsupportedTokenizerError:
            return reference

    return engine, reference


def longest_first(
    first: npt.NDArray[np.int64], second: npt.NDArray[np.int64], budget: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """How many tokens of each text of a pair stay when both together may have `budget`: the longer one gives.

    The rule of `tokenizers` (truncate_encodings in its utils/truncation.rs): the longer text is cut down to what
    is left, but not below the shorter one; if that is not enough, each gets half, the longer one the odd token.
    """
    shorter, longer = np.minimum(first, second), np.maximum(first, second)
    cut = np.where(shorter > budget, shorter, np.maximum(shorter, budget - shorter))
    halve = shorter + cut > budget
    keep_shorter = np.where(halve, budget // 2, shorter)
    keep_longer = np.where(halve, budget // 2 + budget % 2, cut)
    too_long = first + second > budget
    keep_shorter = np.where(too_long, keep_shorter, shorter)
    keep_longer = np.where(too_long, np.minimum(keep_longer, longer), longer)
    swap = first > second
    return np.where(swap, keep_longer, keep_shorter), np.where(swap, keep_shorter, keep_longer)


def _scatter(
    target: Ids, at: Offsets, source: npt.NDArray[np.uint32], start: Offsets, count: npt.NDArray[np.int64]
) -> None:
    """Copy `count[i]` ids from `source[start[i]:]` to `target[at[i]:]`, for all rows at once."""
    within = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    target[np.repeat(at, count) + within] = source[np.repeat(start, count) + within]


def _pair_frame(tokenizer_json: str) -> tuple[list[int], list[int], list[int], int]:
    """The special ids before, between and after the texts of a pair, and how many of the middle have type 0."""
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    pair = tokenizer.encode("a", "a")
    sequences: list[int | None] = list(pair.sequence_ids)
    first, second = sequences.index(0), sequences.index(1)
    stop_first = first + sequences.count(0)
    stop_second = second + sequences.count(1)
    middle_is_first = sum(kind == 0 for kind in pair.type_ids[stop_first:second])
    return pair.ids[:first], pair.ids[stop_first:second], pair.ids[stop_second:], middle_is_first


def _first_length(type_ids: list[int]) -> int:
    first = type_ids.count(0)
    if any(type_ids[:first]) or not all(kind == 1 for kind in type_ids[first:]):
        raise DataError("models/base: its tokenizer numbers the texts of a pair in a way that refit cannot store")
    return first


def length_limit(model: Path) -> int | None:
    """The most tokens that a model takes: its tokenizer says it, else the size of its position table."""
    stated = files.read_json(model / "tokenizer_config.json").get("model_max_length")
    positions = files.read_json(model / "config.json").get("max_position_embeddings")
    known = [limit for limit in (stated, positions) if isinstance(limit, int) and limit < 10**9]
    return min(known) if known else None


def _offsets(lengths: Sequence[int]) -> Offsets:
    return np.concatenate([[0], np.cumsum(np.asarray(lengths, dtype=np.int64))]).astype(np.int64)


def _concatenate(pieces: Sequence[Ids]) -> Ids:
    return np.concatenate(pieces) if pieces else np.empty(0, np.int32)
