"""Whether the engine's ids are those of the model's own tokenizer, on a sample of the rows that go by."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from refit.tokenization.engines import Engine
from refit.tokenization.hf_tokenizer import Reference
from refit.tokenization.prefetch import ahead
from refit.tokenization.raw_batches import Texts
from refit.tokenization.token_batch import Encoded


class EnginesDifferError(Exception):
    """The fast engine gave other ids than the model's own tokenizer."""


@dataclass(frozen=True)
class _Sample:
    """The rows of a batch that are compared, and what the model's own tokenizer is making of their first words."""

    rows: list[int]
    texts: list[str]
    pairs: list[str] | None
    expected: Future[Encoded]


class CheckedEngine:
    """An engine of which every stride-th row of each batch is compared, and the odd ones as they turn up.

    Odd are the longest row so far, the shortest, and of each batch the first that is not ASCII.
    """

    def __init__(self, engine: Callable[[], Engine], reference: Reference, stride: int) -> None:
        self.engine = engine
        self.reference = reference
        self.stride = stride
        self.longest = -1
        self.shortest = float("inf")
        self.beside = ThreadPoolExecutor(1)  # neither engine holds Python's lock while it works

    def encode(self, texts: list[str], pairs: list[str] | None) -> Encoded:
        """As the engine's encode; raises EnginesDifferError where its ids are not the tokenizer's own."""
        return self._compared(texts, pairs, self._sample(texts, pairs))

    def encode_all(self, batches: Iterable[Texts]) -> Iterator[tuple[Texts, Encoded]]:
        """Each batch with its `encode`; the sample of the next one is at work meanwhile."""
        sampled = ahead((texts, self._sample(texts.first, texts.second)) for texts in batches)
        for texts, sample in sampled:
            yield texts, self._compared(texts.first, texts.second, sample)

    def _sample(self, texts: list[str], pairs: list[str] | None) -> _Sample:
        rows = self._rows_to_check(texts, pairs)
        first, second = [texts[row] for row in rows], None if pairs is None else [pairs[row] for row in rows]
        starts = first if second else [first_words(text, self.reference.max_length) for text in first]
        return _Sample(rows, first, second, self.beside.submit(self.reference.encode, starts, second))

    def _compared(self, texts: list[str], pairs: list[str] | None, sample: _Sample) -> Encoded:
        engine = self.engine()
        encoded = engine.encode(texts, pairs)
        if engine is self.reference:
            return encoded
        found = encoded.take(sample.rows)
        if sample.expected.result().equals(found) or self.reference.encode(sample.texts, sample.pairs).equals(found):
            return encoded
        raise EnginesDifferError

    def _rows_to_check(self, texts: list[str], pairs: list[str] | None) -> list[int]:
        chosen = set(range(0, len(texts), self.stride))
        for column in (texts, pairs or []):
            if not column:
                continue
            lengths = list(map(len, column))
            longest, shortest = max(lengths), min(lengths)
            if longest > self.longest:
                self.longest = longest
                chosen.add(lengths.index(longest))
            if shortest < self.shortest:
                self.shortest = shortest
                chosen.add(lengths.index(shortest))
            chosen.add(next((row for row, is_ascii in enumerate(map(str.isascii, column)) if not is_ascii), 0))
        return sorted(chosen)


def first_words(text: str, max_length: int) -> str:
    """As many words of a text as can fill `max_length`, each being a token or more: the rest is cut off anyway.

    A tenth less time for all of tokenizing, and not the cut that the engine makes, so that a fault of that one shows.
    Where a tokenizer drops whole words, or does not split at spaces, the ids may be others than those of the whole
    text, which has to be tried then.
    """
    if len(text) < 2 * max_length:
        return text
    words = text.split(maxsplit=max_length)
    return text[: -len(words[-1])] if len(words) > max_length else text
