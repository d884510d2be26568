"""Compare an engine's ids with those of the model's own tokenizer on a sample of the texts."""

from refit.tokenization.engines import Engine
from refit.tokenization.hf_tokenizer import Reference
from refit.tokenization.token_batch import Encoded


class EnginesDifferError(Exception):
    """The fast engine gave other ids than the model's own tokenizer."""


class CheckedEngine:
    """Wraps an engine and compares every `stride`-th row of each batch, and unusual rows, with the reference.

    Unusual are the longest and the shortest text so far, and the first of each batch that is not ASCII.
    """

    def __init__(self, engine: Engine, reference: Reference, stride: int) -> None:
        self.name = engine.name
        self.engine = engine
        self.reference = reference
        self.stride = stride
        self.longest = -1
        self.shortest = float("inf")

    def encode(self, texts: list[str], pairs: list[str] | None) -> Encoded:
        """As the engine's encode; raises EnginesDifferError where its ids differ from the tokenizer's own."""
        encoded = self.engine.encode(texts, pairs)
        if self.engine is not self.reference:
            rows = self._rows_to_check(texts, pairs)
            sampled_pairs = None if pairs is None else [pairs[row] for row in rows]
            if not self.reference.encode([texts[row] for row in rows], sampled_pairs).equals(encoded.take(rows)):
                raise EnginesDifferError
        return encoded

    def _rows_to_check(self, texts: list[str], pairs: list[str] | None) -> list[int]:
        chosen = set(range(0, len(texts), self.stride))
        for column in (texts, pairs):
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
